"""What a job imports is in its rule's code, so that no edit of it goes unnoticed."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mtl.config
import mtl.jobs
import mtl.plugins
from mtl.config.reading import read_yaml
from mtl.pipeline.stages import RULES, STAGES, START, key_of, sources, stage_of

ROOT = Path(__file__).parents[2]
PACKAGE = Path(mtl.jobs.__file__).parent
NEUTRAL = {"errors.py", "files.py", "lazy.py", "names.py", "plugins.py", "progress.py", "words.py", "__init__.py", "jobs.py"}
"""Modules that decide no result, or whose values are in the settings of each job. (Where ids of variants are made or read, names count.)"""


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.orelse:
                yield from (child, *executed(child))
        else:
            yield node
            yield from executed(node)


def modules(tree: ast.AST) -> set[Path]:
    """The files of the package that code imports, at its top or within functions."""
    files: set[Path] = set()
    for node in executed(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("mtl."):  # what the package itself offers is imported lazily
                path = PACKAGE.joinpath(*name.split(".")[1:])
                files |= {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return files


def closure(files: set[Path]) -> set[Path]:
    seen: set[Path] = set()
    while files - seen:
        file = (files - seen).pop()
        seen.add(file)
        files |= modules(ast.parse(file.read_text()))
    return seen


@pytest.mark.parametrize("name", RULES)
def test_code_covers_what_its_job_imports(name: str) -> None:
    tree = ast.parse((PACKAGE / "jobs.py").read_text())
    (job,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    code = RULES[name].code
    covered = {file for path in code for file in ([PACKAGE / path] if path.endswith(".py") else (PACKAGE / path).rglob("*.py"))}
    # Plug-ins are imported by their names, which no import statement shows; only training and prediction need the heads of tasks.
    named = {file for file in covered if file.parent.name in ("tasks", "labels", "augment")} - {PACKAGE / "tasks/heads.py"}
    missing = {str(file.relative_to(PACKAGE)) for file in closure(modules(job) | named) - covered} - NEUTRAL
    assert {path for path in missing if not path.startswith(("pipeline/", "config/")) and not path.endswith("/__init__.py")} == set()


@pytest.mark.parametrize("name", RULES)
def test_the_card_decides_cards_alone(name: str) -> None:
    assert any("model/card.py".startswith(path) for path in RULES[name].code) == (name == "card_run")


def test_jobs_read_what_jobs_before_them_made() -> None:
    settings = mtl.config.load(ROOT / "examples/tweets/params.yaml")
    before: set[str] = set()
    for stage in STAGES.values():
        for job in stage.jobs(settings):
            assert before.issuperset(job.after)
            assert {stage_of(name.split("/")[0]) for name in job.after} <= {*stage.after, stage_of(job.rule)}
            before.add(job.id)
    assert list(mtl.jobs.JOBS) == list(RULES)


def test_the_code_of_an_outside_package_decides_the_jobs_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = mtl.config.load(ROOT / "examples/tweets/params.yaml")
    before = [job for stage in STAGES.values() for job in stage.jobs(settings)]

    def of_a_task(value: Any) -> dict[str, str]:
        models = mtl.plugins._models(value)
        return {"toy": "0" * 64} if any(model is task for model in models for task in settings.tasks.values()) else {}

    monkeypatch.setattr(mtl.plugins, "outside_code", of_a_task)
    after = [job for stage in STAGES.values() for job in stage.jobs(settings)]
    changed = [job.rule for job, other in zip(after, before, strict=True) if job != other]
    assert list(dict.fromkeys(changed)) == ["train_run", "predict_run", "card_run", "evaluate_runs", "render_report"]


def runs_of(content: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What decides the jobs of each run, by their ids."""
    settings = mtl.config.parse(content)
    return {
        job.id: (job.after, job.reads, job.settings)
        for rule in ("train_run", "card_run", "predict_run")
        for job in RULES[rule].jobs(settings)
    }


def test_a_second_phase_reads_the_model_of_the_first() -> None:
    content = read_yaml(ROOT / "examples/tweets/params.yaml")
    before = runs_of(content)
    content["experiment"]["phases"] = [{"first": ["entities"], "then": "sentiment"}]
    after = runs_of(content)
    new = "phases_entities~sentiment-augmented-1"
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{rule}/{new}" for rule in ("train_run", "card_run", "predict_run")}
    waits, reads, _ = after[f"train_run/{new}"]
    assert "train_run/single_entities-augmented-1" in waits
    assert "models/single_entities-augmented-1/model.safetensors" in reads


def test_runs_start_from_the_model_that_the_encoder_names_unless_they_are_a_second_phase() -> None:
    content = read_yaml(ROOT / "examples/tweets/params.yaml")
    content["experiment"]["phases"] = [{"first": ["entities"], "then": "sentiment"}]
    content["encoder"]["start"] = {"url": "data/promoted/v1.0.0"}
    assert list(sources(mtl.config.parse(content)))[-1] == START
    assert key_of(START, "") == "encoder.start"
    reads = {name: reads for name, (_, reads, _) in runs_of(content).items() if name.startswith("train_run/")}
    starting = {name.removeprefix("train_run/") for name, own in reads.items() if f"raw/{START}/*" in own}
    assert starting == {name for name, run in mtl.config.parse(content).runs().items() if run.start is None}


def test_a_group_builds_its_own_runs_and_a_setting_of_a_task_those_that_have_the_task() -> None:
    content = read_yaml(ROOT / "examples/tweets/params.yaml")
    before = runs_of(content)
    content["experiment"]["groups"] = "pairs"
    after = runs_of(content)
    groups = ("group_entities+sentiment", "group_entities+intensity", "group_sentiment+intensity")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {
        f"{rule}/{group}-augmented-1" for rule in ("train_run", "card_run", "predict_run") for group in groups
    }
    content["tasks"]["sentiment"]["weight"] = 3
    last = runs_of(content)
    changed = {name for name in last if last[name] != after[name]}
    assert changed == {name for name in last if "joint" in name or "sentiment" in name}
