"""Renders the report: reads the data folder, fills the template, writes one self-contained file."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mtl import config as settings
from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.files import write_text
from mtl.report import audit, datasets, errors, evidence, figures, findings, provenance, text, trials
from mtl.report.inputs import Inputs, Json, load


def render(params: Params, data: Path, out: Path) -> None:
    """Write ``report.html`` into ``out``.

    Same input, same bytes: the page holds no date and no random id.

    Args:
        data: the data folder, with examples, shards, models and results.

    Raises:
        PipelineError: a file is missing or damaged.
        DataError: a shard is damaged.
    """
    write_text(out / "report.html", environment().get_template("page.html").render(context(params, load(params, data))))


def environment() -> Environment:
    """Of the templates of pages: everything is escaped, unseen characters are shown, and an unknown name is an error."""
    made = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        finalize=text.visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "score": text.score,
        "signed": text.signed,
        "whole": text.whole,
        "percent": text.percent,
        "duration": text.duration,
        "size": text.size,
    }
    made.globals["bar"] = figures.stacked
    return made


def read(name: str) -> str:
    """A file of this package: a template, the style sheet or a script."""
    return resources.files("mtl.report").joinpath(name).read_text(encoding="utf-8")


def context(params: Params, everything: Inputs) -> Json:
    """Everything that the template shows, section by section."""
    comparisons = evidence.of_whole(everything.comparisons)
    inputs = replace(everything, comparisons=comparisons)
    joint = joint_run(params).name
    audits = audit.audit(params, inputs)
    script = read("errors.js")
    return {
        "title": params.report.title,
        "style": Markup(read("style.css")),
        "script": Markup(script),
        "script_sum": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        "comparisons": comparisons,
        "lead": findings.lead(comparisons),
        "overall": findings.overall(comparisons),
        "cards": findings.cards(comparisons),
        "claims": findings.all_claims(everything.comparisons),
        "budget": evidence.budget(params, everything),
        "settings_table": evidence.settings_table(everything.comparisons),
        "learning_curves": evidence.learning_curves(params, everything),
        "legend": findings.legend(comparisons),
        "matrix": findings.matrix(comparisons),
        "metric_tables": findings.metric_tables(comparisons),
        "balance": findings.balance(comparisons),
        "balance_run": joint,
        "balance_curves": figures.balance_curves(inputs, joint) if len(params.tasks) > 1 else [],
        "cosines": figures.cosines(inputs, joint),
        "balance_cost": figures.balance_cost(inputs.runs[joint]),
        "shares": figures.shares(inputs.histories[joint], list(params.tasks)) if len(params.tasks) > 1 else [],
        "loss_curves": figures.loss_curves(inputs, joint),
        "score_curves": figures.score_curves(inputs, joint),
        "confusions": figures.confusions(params, inputs),
        "types": figures.types(params, inputs),
        "scatters": figures.scatters(params, inputs),
        "errors": errors.browser(params, inputs),
        "audits": audits,
        "audit_finding": audit.finding(audits),
        "datasets": datasets.data_cards(params, inputs),
        "runs": list(inputs.runs),
        "costs": _costs(inputs.runs),
        "cost_table": _cost_table(inputs.runs),
        "throughput": figures.throughput(inputs),
        "search": trials.results(inputs.search),
        "warnings": datasets.warnings(params, inputs),
        "versions": _versions(inputs.runs),
        "checksums": provenance.checksums(params, inputs),
        "settings": settings.dump(params.model_copy(update={"tune": None})),  # which bears on nothing shown here
        "tasks": list(params.tasks),
    }


COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "steps": ("steps", text.whole),
    "best at": ("best_step", text.whole),
    "ended": ("stopped", str),
    "time": ("seconds", text.duration),
    "tokens/s": ("tokens_per_second", text.whole),
    "padding": ("padding_share", lambda share: text.percent(share, 1)),
    "memory": ("peak_memory_bytes", text.size),
    "parameters": ("parameters", text.whole),
    "precision": ("precision", str),
    "skipped": ("skipped", text.whole),
    "device": ("device", str),
    "threads": ("threads", text.whole),
}
"""Columns of the table of costs: the key in ``run.json`` and how it is shown."""


def _cost_table(runs: dict[str, Json]) -> Json:
    """A column for each measure that any run recorded."""
    columns = {name: column for name, column in COSTS.items() if any(run.get(column[0]) is not None for run in runs.values())}
    rows = [(name, [_cell(run.get(key), told) for key, told in columns.values()]) for name, run in runs.items()]
    return {"columns": [(name, "" if told is str else "number") for name, (_, told) in columns.items()], "rows": rows}


def _cell(value: Any, told: Callable[[Any], str]) -> str:
    return "–" if value is None else told(value)


def _costs(runs: dict[str, Json]) -> str:
    """The time of all runs in one sentence."""
    seconds = sum(run.get("seconds", 0.0) for run in runs.values())
    joint = [run for run in runs.values() if run.get("model") == "joint" and run.get("seconds")]
    told = f"All {len(runs)} runs took {text.duration(seconds)}"
    if not joint:
        return told + "."
    mean = sum(run["seconds"] for run in joint) / len(joint)
    return f"{told}; a joint run took {text.duration(mean)} on average."


def _versions(runs: dict[str, Json]) -> list[tuple[str, str]]:
    """Packages with their versions; several where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in runs.values():
        for package, version in run.get("versions", {}).items():
            found.setdefault(package, {})[str(version)] = None
    return [(package, ", ".join(versions)) for package, versions in sorted(found.items())]
