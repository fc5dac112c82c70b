"""The page of a comparison of new texts with those of training."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import pandas as pd
from markupsafe import Markup

from mtl.report import charts
from mtl.report.blocks import Figure, Table
from mtl.report.render import environment, read
from mtl.report.text import listed, score

SIDES = ("reference", "new")
CLASSES = 12
"""Classes of a figure, at most: those whose means differ most."""


def page(results: Mapping[str, Any]) -> str:
    """A self-contained page from what ``mtl.monitoring.drift.drift`` returns. Same results, same bytes."""
    template = environment().from_string(resources.files(__package__).joinpath("drift.html").read_text(encoding="utf-8"))
    return template.render(
        title="Drift",
        style=Markup(read("style.css")),
        scripts=[Markup(read("tables.js"))],
        finding=finding(results),
        level=results["level"],
        texts=results["texts"],
        table_of_tests=_table(results["tests"]),
        figures=[_figure(test) for test in results["tests"] if test["test"] == "predictions"],
        strangest=results["strangest"],
    )


def finding(results: Mapping[str, Any]) -> str:
    """The outcome in one sentence."""
    shifted = [f"{test['test']} of {test['task']}" for test in results["tests"] if test["drift"]]
    return f"The new texts differ: {listed(shifted)}." if shifted else "No drift was found."


def _table(tests: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("task", "test", "method", "statistic", "p", "corrected_p")
    rows = [{**{name: test[name] for name in columns}, "drift": "yes" if test["drift"] else "no"} for test in tests]
    return Table(
        "Tests", "", pd.DataFrame(rows).rename(columns={"corrected_p": "corrected p"}), {"statistic": lambda value: f"{value:.4g}"}
    )


def _figure(test: Mapping[str, Any]) -> Figure:
    """What was predicted, on both sides."""
    names = sorted(test["reference"], key=lambda name: -abs(test["reference"][name] - test["new"][name]))[:CLASSES]
    rows = [{"name": name, "side": side, "value": test[side][name]} for name in names for side in SIDES]
    what = "quartiles" if test["method"] == "Kolmogorov-Smirnov" else "how often a text has each, on average"
    return Figure(test["task"], f"predictions: {what}; corrected p {score(test['corrected_p'])}", charts.paired(pd.DataFrame(rows), SIDES))
