"""The real Snakemake and DVC on a small real project: what runs after each kind of change, and that no result is stale."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mtl.pipeline.stages import STAGES
from workflow.make_project import BAD, GOOD, ROOT, Project, only

pytestmark = pytest.mark.workflow

BELOW_TRAIN = [
    "card_run joint-augmented-1",
    "evaluate_runs all",
    "predict_run joint-augmented-1",
    "render_report all",
    "train_run joint-augmented-1",
]

COLLECTED = """\
  collected:
    incoming: incoming
    source: {url: collected.jsonl}
    reader: {format: jsonl}
    labels:
      mood: {type: class, column: mood}
    split: {train: 0.6, test: 0.4}
tasks:
"""


def test_a_first_run_leaves_both_tools_with_nothing_to_do(project: Project) -> None:
    project.clean()
    assert project.dvc("repro") == []
    metrics = json.loads((project.folder / "data/results/metrics.json").read_text())
    assert {"mood", "names"} <= set(metrics)


def test_an_edit_to_a_param_runs_what_depends_on_it(project: Project) -> None:
    project.edit("params.yaml", "learning_rate: 0.005,", "learning_rate: 0.004,")
    assert project.dvc("repro") == BELOW_TRAIN
    project.clean()
    project.edit("params.yaml", "Small project", "Another title")
    assert project.snakemake() == ["render_report all"]
    project.clean()


def test_a_seed_or_a_size_more_runs_its_own_runs_and_no_others(project: Project) -> None:
    project.edit("params.yaml", "experiment: {", "experiment: {seeds: [1, 2], ")
    assert project.snakemake() == [job.replace("-1", "-2") for job in BELOW_TRAIN]
    project.edit("params.yaml", "experiment: {", "experiment: {sizes: [10, all], ")
    dry = project.run("snakemake", "--cores", "2", "--dry-run", "train")
    assert sorted(re.findall(r"Job \d+: Train (\S+)", dry)) == ["joint-augmented-1-10", "joint-augmented-2-10"]


def test_a_revert_runs_nothing(project: Project) -> None:
    first = project.results()
    project.edit("params.yaml", "seed: 1", "seed: 2")
    assert "train_run joint-augmented-1" in project.snakemake()
    assert project.results() != first
    project.edit("params.yaml", "seed: 2", "seed: 1")
    assert project.dvc("repro") == []
    assert project.results() == first
    project.clean()


def test_an_edit_to_code_runs_its_stage_and_equal_results_stop_there(project: Project) -> None:
    project.edit("src/mtl/data/prepare.py", "import ", "UNUSED = 1\nimport ")
    # The report shows what the data modules say, so it is written anew; nothing is augmented or trained.
    assert project.snakemake() == ["check_examples all", "prepare_dataset mood", "prepare_dataset names", "render_report all"]
    project.clean()
    project.edit("src/mtl/data/prepare.py", "UNUSED = 1\n", "# a comment\n")
    assert project.snakemake() == []
    assert project.dvc("repro") == []
    project.clean()


def test_an_edit_to_code_that_changes_results_runs_all_below(project: Project) -> None:
    before = project.results()
    project.edit("src/mtl/training/schedule.py", "return ", "return 0.5 * ")
    assert project.dvc("repro") == BELOW_TRAIN
    assert project.results() != before
    project.clean()


def test_an_edit_to_a_data_set_is_noticed(project: Project, tmp_path: Path) -> None:
    old = project.checksum("input/mood.csv")
    path = project.folder / "input/mood.csv"
    path.write_text(path.read_text() + '1.5,"one more lovely day"\n')
    project.edit("params.yaml", old, project.checksum("input/mood.csv"))
    jobs = project.snakemake()
    assert only(jobs, "download_source", "prepare_dataset", "augment_shard") == [
        "augment_shard mood-00000-of-00001",
        "download_source mood",
        "prepare_dataset mood",
    ]
    assert only(jobs, "train_run") == ["train_run joint-augmented-1"]
    project.clean()
    assert project.results() == project.from_scratch(tmp_path / "scratch")


def test_overrides_reach_the_job(project: Project) -> None:
    assert project.dvc("exp", "run", "-S", "train.learning_rate=0.001", "-n", "slow") == BELOW_TRAIN
    model = json.loads((project.folder / "data/records/train.json").read_text())
    project.git("stash", "-q", "-u") if project.git("status", "--porcelain").strip() else None
    project.run("dvc", "checkout", "-q")
    assert json.loads((project.folder / "data/records/train.json").read_text()) != model
    table = json.loads(project.run("dvc", "exp", "show", "--json"))
    assert "slow" in json.dumps(table)
    shown = project.run(
        "env", "COLUMNS=100", "dvc", "exp", "show", "--no-pager", "--only-changed", "--drop", "(data|src)/|Created|raw_text"
    )
    heading = next(line for line in shown.splitlines() if "Experiment" in line)
    assert heading.split() == ["Experiment", "score", "names", "mood", "train.learning_rate"]
    plots = json.loads(project.run("dvc", "plots", "diff", "--json", "main", "slow"))["data"]
    drawn = {title: {row["rev"] for plot in drawings for row in plot["content"]["data"]["values"]} for title, drawings in plots.items()}
    assert drawn == {title: {"main", "slow"} for title in ("Loss by task", "Validation score", "Confusion")}
    assert project.snakemake("--config", "train={learning_rate: 0.002}") == BELOW_TRAIN
    assert "changed" in project.run("dvc", "status")
    assert project.snakemake() == []
    project.clean()


def test_an_experiment_in_a_folder_of_its_own_retrains_only(project: Project) -> None:
    before = project.results()
    output = project.run("dvc", "exp", "run", "--temp", "-S", "train.epochs=1", "-n", "short")
    assert "built train_run joint-augmented-1" in output
    assert "built prepare_dataset" not in output
    assert project.results() == before
    project.clean()
    project.run("dvc", "exp", "apply", "short")
    assert project.results() != before
    project.clean()


def test_an_experiment_that_changes_nothing_has_all_that_its_stages_depend_on(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "--temp", "-n", "same")
    assert "Stage 'report' didn't change" in output
    project.clean()


def test_new_rows_are_versioned_and_a_new_model_is_promoted_after_drift(project: Project) -> None:
    project.run("snakemake", "--cores", "2", "retrain")
    project.edit("params.yaml", "tasks:\n", COLLECTED)
    project.edit("params.yaml", "evaluate:", "promote: {drift: drift.json, margin: 0.9}\nevaluate:")
    (project.folder / "incoming").mkdir()
    words = [(number, word, mood) for number in range(60) for word, mood in ((BAD[0], "bad"), (GOOD[0], "good"))]
    rows = [{"text": f"all {word} and {word} in part {number}", "mood": mood} for number, word, mood in words]
    (project.folder / "incoming/corrections.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    output = project.run("snakemake", "--cores", "1", "ingest")
    assert "collected: 120 new rows from 1 file" in output
    assert project.checksum("collected.jsonl") in (project.folder / "params.yaml").read_text()
    assert "No such file" in project.run("snakemake", "--cores", "2", "retrain", check=False)
    (project.folder / "drift.json").write_text('{"drift": true}')
    project.run("snakemake", "--cores", "2", "retrain")
    decision = json.loads((project.folder / "data/promoted/decisions.jsonl").read_text().splitlines()[-1])
    assert (decision["drift"], decision["version"]) == (True, "v1.1.0"), decision["reason"]
    assert project.checksum("data/raw/collected/all/collected.jsonl") == project.checksum("collected.jsonl")
    project.snakemake()
    project.clean()


def test_a_fresh_clone_pulls_and_has_nothing_to_do(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    project.commit("remote")
    project.run("dvc", "push", "-q")
    project.git("clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    clone.clean()
    assert clone.results() == project.results()
    clone.edit("params.yaml", "epochs: 2", "epochs: 1")
    assert clone.dvc("repro") == BELOW_TRAIN
    clone.clean()


def test_a_checkout_behind_snakemakes_back_is_noticed(project: Project) -> None:
    first = project.results()
    project.edit("params.yaml", "epochs: 2", "epochs: 1")
    project.snakemake()
    project.commit("one epoch")
    second = project.results()
    project.git("checkout", "-q", "HEAD~1")
    assert project.snakemake() == []
    assert project.results() == first
    project.git("checkout", "-q", "main")
    project.run("dvc", "checkout", "-q")
    assert project.results() == second
    project.clean()


@pytest.mark.parametrize("until", ["built prepare_dataset", "Train joint"])
def test_killed_at_any_step_the_same_command_ends_the_same(finished: Project, tmp_path: Path, until: str) -> None:
    """``kill -9`` of Snakemake and all its jobs, then the same command again."""
    project = Project.make(tmp_path / "project")
    process = started(project)
    assert process.stdout is not None
    for line in process.stdout:
        if until in line:
            break
    time.sleep(0.7 if until == "Train joint" else 0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    project.run("snakemake", "--cores", "2")
    assert project.results() == finished.results()
    project.clean()


def test_asked_to_stop_training_saves_and_the_same_command_goes_on(project: Project) -> None:
    """SIGTERM to Snakemake alone, then to all of its processes, then Ctrl-C; each time the next start goes on from the step saved."""
    project.edit("params.yaml", "epochs: 2,", "epochs: 1000, patience: 1000,")
    project.edit("params.yaml", "eval_every: 5", "eval_every: 50")
    steps = [0]
    for send, number in ((os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT)):
        process = started(project)
        wait_for(lambda: max(checkpoints(project), default=0) > steps[-1], process)
        send(process.pid, number)
        process.communicate(timeout=60)
        log = (project.folder / "logs/train_run/joint-augmented-1.log").read_text()
        (step,) = re.findall(r"^stopped after step (\d+) of \d+;", log, flags=re.MULTILINE)
        steps.append(int(step))
        assert max(checkpoints(project)) == steps[-1] > steps[-2]


def started(project: Project) -> "subprocess.Popen[str]":
    """Snakemake on a project, in a group of processes of its own."""
    return subprocess.Popen(
        ["snakemake", "--cores", "2"],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests that run in the background may not heed it
    )


def checkpoints(project: Project) -> list[int]:
    """The steps of the checkpoints that lie there."""
    return [int(path.stem) for path in project.folder.glob("work/store/*.job/checkpoint/*.pt")]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def test_issues_in_the_settings_stop_before_any_job(project: Project) -> None:
    project.edit("params.yaml", "train: {", "train: {lr: 1, ")
    output = project.run("snakemake", "--cores", "2", check=False)
    assert "train.lr: unknown key" in output
    assert "Job " not in output


def test_cores_do_not_change_results(finished: Project, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.run("snakemake", "--cores", "1")
    assert project.results() == finished.results()


def test_dvc_rules_and_stages_agree() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert list(stages) == list(STAGES)
    for name, stage in STAGES.items():
        by_dvc = stages[name]
        assert by_dvc["cmd"].startswith(f"snakemake {name} ")
        assert set(by_dvc["deps"]) == {
            "src/mtl/config",
            *(f"src/mtl/{code}" for code in stage.code),
            *(f"data/{out}" for before in stage.after for out in STAGES[before].outs),
            *(["data/tune", "data/audit"] if name == "report" else []),
        }
        assert by_dvc["params"] == (list(stage.sections) or [{"params.yaml": None}])
        assert by_dvc["outs"] == [*(f"data/{out}" for out in stage.outs), f"data/records/{name}.json"]
        text = (ROOT / "workflow/rules" / f"{name}.smk").read_text()
        assert re.findall(r"^rule (\w+):", text, flags=re.MULTILINE) == [*stage.rules, name]
        assert text.count("    message:\n") == len(stage.rules) + 1


def test_a_reworded_card_writes_cards_and_trains_nothing(project: Project) -> None:
    card = project.folder / "data/models/joint-augmented-1/README.md"
    project.edit("src/mtl/model/card.py", "For a comparison with other runs", "To compare it with other runs")
    assert project.snakemake() == ["card_run joint-augmented-1"]
    assert "To compare it with other runs" in card.read_text()
    project.clean()
    project.edit("src/mtl/model/card.py", "To compare it with other runs", "For a comparison with others")
    assert project.dvc("repro") == ["card_run joint-augmented-1"]
    assert "For a comparison with others" in card.read_text()
    project.clean()


def test_a_published_file_is_a_target(project: Project) -> None:
    project.edit("params.yaml", "Small project", "Another title")
    assert project.snakemake("data/report/report.html") == ["render_report all"]
    assert "Another title" in (project.folder / "data/report/report.html").read_text()
    summary = project.run("snakemake", "--summary")
    for path in (
        "examples/mood.parquet",
        "models/joint-augmented-1/README.md",
        "predictions/joint-augmented-1.parquet",
        "records/download.json",
    ):
        assert f"data/{path}\t" in summary
    (project.folder / "data/models/joint-augmented-1/README.md").unlink()
    assert project.snakemake("data/models/joint-augmented-1/README.md") == []
    assert (project.folder / "data/models/joint-augmented-1/README.md").exists()
    project.clean()


def test_a_forced_rule_runs_all_below_it(project: Project) -> None:
    project.edit("params.yaml", "Small project", "Another title")
    jobs = re.findall(r"^Job \d+: (\w+)", project.run("snakemake", "--dry-run", "--forcerun", "predict_run"), flags=re.MULTILINE)
    assert sorted(jobs) == ["Predict", *["Publish"] * 3, "Score", *["Write"] * 2]


def test_a_plain_run_does_not_wait_for_augmentation(project: Project) -> None:
    project.edit("params.yaml", "joint: [augmented]", "joint: [augmented, plain]")
    project.run("rm", "-r", "work", "data")
    project.snakemake("work/state/train_run/joint-plain-1.json")
    state = project.folder / "work/state"
    assert sorted(path.name for path in state.iterdir() if path.is_dir()) == [
        "check_examples",
        "download_source",
        "prepare_dataset",
        "train_run",
    ]


def test_sections_with_defaults_may_be_left_out(project: Project) -> None:
    for section in ("evaluate: {resamples: 100}\n", "report: {title: Small project}\n"):
        project.edit("params.yaml", section, "")
    assert project.dvc("repro") == ["evaluate_runs all", "render_report all"]
    project.clean()
    project.edit("params.yaml", "experiment: {joint: [augmented], single_task: []}\n", "")
    project.run("rm", "-r", "data/examples")
    output = project.run("snakemake", "--cores", "2", "prepare")
    assert "DVC was not told of the results: params.yaml lacks `experiment`, which DVC tracks by name; write `experiment: {}`" in output
    assert "Traceback" not in output


def test_results_of_an_earlier_version_are_built_again(project: Project) -> None:
    record = project.folder / "data/records/prepare.json"
    record.write_text(json.dumps({"key": "0" * 32, "parts": {"mood": {"key": "0" * 32, "files": {}}}}))
    (project.folder / "work/state/prepare").mkdir()
    (project.folder / "work/state/prepare/mood.json").write_text("{}")
    output = project.run("snakemake", "--cores", "2")
    assert "data/records/prepare.json: written by an earlier version of mtl, or damaged; the stage prepare is built again" in output
    project.clean()
    config = project.folder / "data/models/joint-augmented-1/config.json"
    content = config.read_text().replace('"format": 2', '"format": 1')
    config.unlink()
    config.write_text(content)
    texts = project.folder / "texts.txt"
    texts.write_text("a day\n")
    output = project.run("python", "-m", "mtl", "predict", "--model", "data/models/joint-augmented-1", "texts.txt", check=False)
    assert "train the model again" in output
    assert "Traceback" not in output


def test_the_workflow_passes_snakemakes_linter() -> None:
    output = Project(ROOT).run("snakemake", "--lint", check=False)
    rules = sum(len(re.findall(r"^rule \w+:", file.read_text(), flags=re.MULTILINE)) for file in (ROOT / "workflow/rules").glob("*.smk"))
    # The environment is one for all rules: .venv, made from pyproject.toml and constraints.txt.
    assert re.findall(r"^    \* (.*)", output, flags=re.MULTILINE) == ["Specify a conda environment or container for each rule.:"] * rules
