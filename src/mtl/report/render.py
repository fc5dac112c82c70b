"""Renders the report: reads the data folder, fills the template, writes one self-contained file."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mtl import config as settings
from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.files import write_text
from mtl.pipeline.versions import unlike
from mtl.report import audit, charts, datasets, errors, evidence, figures, findings, labels, provenance, savings, text, transfer, trials
from mtl.report.blocks import Figure, Spec, Table
from mtl.report.inputs import Inputs, Json, load
from mtl.report.task_views import task_blocks

TOP_WARNINGS = 6
"""Warnings that the summary shows, at most; the section of warnings has all."""


def render(params: Params, data: Path, out: Path) -> None:
    """Write ``report.html`` into ``out``.

    Same input, same bytes: the page holds no date and no random id.

    Args:
        data: the data folder, with examples, shards, models and results.

    Raises:
        PipelineError: a file is missing or damaged.
        DataError: a shard is damaged.
    """
    with charts.unchecked():
        write_text(out / "report.html", environment().get_template("page.html").render(context(params, load(params, data))))


def environment() -> Environment:
    """The templates' environment: escapes everything, shows unseen characters, and raises on an unknown name."""
    pages = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        finalize=text.visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "score": text.score,
        "signed": text.signed,
        "whole": text.whole,
        "percent": text.percent,
        "duration": text.duration,
        "size": text.size,
        "counted": text.counted,
        "script": text.script,
        "spec": spec_text,
    }
    vega = f"/*\n{read('LICENSE-vega')}*/\n{charts.bundle()}"
    pages.globals |= {"policy": policy, "vega": Markup(vega), "loader": Markup(read("charts.js"))}
    return pages


def spec_text(spec: Spec) -> Markup:
    """A chart as the content of a script element of type JSON, which no text in it can end."""
    content = json.dumps(spec, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(content.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def policy(*scripts: str) -> Markup:
    """A content security policy that runs these scripts only and fetches nothing."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]
    return Markup(f"default-src 'none'; style-src 'unsafe-inline'; script-src {' '.join(hashes)}")


def read(name: str) -> str:
    """A file of this package: a template, the style sheet or a script."""
    return resources.files("mtl.report").joinpath(name).read_text(encoding="utf-8")


def context(params: Params, everything: Inputs) -> Json:
    """Everything that the template shows, section by section."""
    groups = transfer.section(params, everything)
    everything = replace(everything, comparisons=evidence.without_groups(everything.comparisons))
    comparisons = evidence.of_whole(everything.comparisons)
    inputs = replace(everything, comparisons=comparisons)
    joint = joint_run(params).name
    audits = audit.audit(params, inputs)
    return {
        "title": params.report.title,
        "alert": unlike(comparisons.get("versions", [])),
        "style": Markup(read("style.css")),
        "scripts": [Markup(read(name)) for name in ("errors.js", "tables.js")],
        "comparisons": comparisons,
        "lead": findings.lead(comparisons),
        "overall": findings.overall(comparisons),
        "saving": savings.saving(inputs.runs, params),
        "saving_table": savings.table(inputs.runs, params, groups["models"] if groups else ()),
        "transfer": groups,
        "cards": findings.cards(comparisons),
        "claims": findings.all_claims(everything.comparisons),
        "families": findings.families(everything.comparisons, everything.comparisons["comparisons"]),
        "over_seeds": findings.over_seeds(everything.comparisons),
        "budget": evidence.budget(params, everything),
        "settings_table": evidence.settings_table(everything.comparisons),
        "learning_curves": evidence.learning_curves(params, everything),
        "differences": findings.differences(everything.comparisons),
        "difference_table": findings.difference_table(everything.comparisons),
        "scores": findings.scores(comparisons),
        "score_table": findings.score_table(comparisons),
        "raw_text": findings.raw_text(comparisons),
        "calibration": findings.calibration(comparisons, inputs.runs),
        "unlabelled": findings.unlabelled(inputs.runs),
        "metric_tables": findings.metric_tables(comparisons),
        "balance": findings.balance(comparisons),
        "balance_figures": _balance_figures(params, inputs, joint),
        "balance_cost": figures.balance_cost(inputs.runs[joint]),
        "loss_curves": figures.loss_curves(inputs, joint),
        "score_curves": figures.score_curves(inputs, joint),
        "task_blocks": task_blocks(params, inputs),
        "errors": errors.browser(params, inputs),
        "audits": audits,
        "audit_finding": audit.finding(audits),
        "few_kept": audit.few_kept(audits),
        "datasets": datasets.data_cards(params, inputs),
        "runs": list(inputs.runs),
        "costs": _costs(inputs.runs),
        "cost_table": _cost_table(inputs.runs),
        "throughput": figures.throughput(inputs),
        "labels": labels.section(inputs.audit, inputs.audited),
        "search": trials.results(inputs.search),
        "warnings": datasets.warnings(params, inputs),
        "top_warnings": TOP_WARNINGS,
        "versions": _versions(inputs.runs),
        "checksums": provenance.checksums(params, inputs),
        "settings": settings.dump(params.model_copy(update=dict.fromkeys(("tune", "promote", "audit")))),  # they change nothing shown here
        "tasks": list(params.tasks),
    }


def _balance_figures(params: Params, inputs: Inputs, joint: str) -> list[Figure]:
    """How the tasks of the joint run share the encoder; nothing where there is one task."""
    if len(params.tasks) == 1:
        return []
    candidates = [
        figures.shares(inputs.histories[joint], list(params.tasks), joint),
        *figures.balance_curves(inputs, joint),
        figures.cosines(inputs, joint),
    ]
    return [figure for figure in candidates if figure]


COSTS: dict[str, tuple[str, Callable[[Any], str] | None]] = {
    "steps": ("steps", text.whole),
    "best step": ("best_step", text.whole),
    "stop reason": ("stopped", None),
    "time": ("seconds", text.duration),
    "tokens/s": ("tokens_per_second", text.whole),
    "padding": ("padding_share", lambda share: text.percent(share, 1)),
    "memory": ("peak_memory_bytes", text.size),
    "parameters": ("parameters", text.whole),
    "precision": ("precision", None),
    "skipped": ("skipped", text.whole),
    "device": ("device", None),
    "threads": ("threads", text.whole),
}
"""Columns of the table of costs: the key in ``run.json``, and how a number is written."""
VARYING = ("time", "tokens/s", "memory")
"""Columns that are shown also where all runs have the same value."""


def _cost_table(runs: dict[str, Json]) -> Table:
    """A column for each measure in which the runs differ; the note names the others."""
    frame = pd.DataFrame(
        {name: [run.get(key) for run in runs.values()] for name, (key, _) in COSTS.items()}, index=pd.Index(runs, name="run")
    )
    frame = frame.dropna(axis="columns", how="all")
    steady = [name for name in COSTS if name in frame and name not in VARYING]
    same = [name for name in steady if len(runs) > 1 and frame[name].nunique(dropna=False) == 1]
    note = ", ".join(f"{name} {(COSTS[name][1] or str)(frame[name].iloc[0])}" for name in same)
    formats = {name: form for name, (_, form) in COSTS.items() if form and name in frame and name not in same}
    return Table("Cost of every run", f"The same for every run: {note}." if same else "", frame.drop(columns=same).reset_index(), formats)


def _costs(runs: dict[str, Json]) -> str:
    """The time of all runs in one sentence."""
    seconds = sum(run.get("seconds", 0.0) for run in runs.values())
    joint = [run for run in runs.values() if run.get("model") == "joint" and run.get("seconds")]
    total = f"{text.counted(len(runs), 'run')} took {text.duration(seconds)} in total"
    if not joint:
        return total + "."
    mean = sum(run["seconds"] for run in joint) / len(joint)
    return f"{total}; a joint run took {text.duration(mean)} on average."


def _versions(runs: dict[str, Json]) -> list[tuple[str, str]]:
    """Packages with their versions; several where runs differ."""
    by_package: dict[str, dict[str, None]] = {}
    for run in runs.values():
        for package, version in run.get("versions", {}).items():
            by_package.setdefault(package, {})[str(version)] = None
    return [(package, ", ".join(versions)) for package, versions in sorted(by_package.items())]
