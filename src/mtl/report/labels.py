"""Train labels that are likely wrong, from ``data/audit``, with the files to download in the page itself."""

import base64
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mtl.report.blocks import Table
from mtl.report.inputs import Json
from mtl.report.text import counted, score

LISTED = 200
"""Issues of a task in its table, at most: the most likely ones."""
EMBEDDED = 2**22
"""Bytes of a file that the page holds, at most."""
LONGEST = 300
"""Characters of a text that are shown."""
FORMS = {"issues.csv": "text/csv", "issues.jsonl": "application/jsonl"}


class Download(NamedTuple):
    """A file that the page holds, or where it lies if it is too large; see ``address``."""

    name: str
    address: str
    """A data URI; empty for a file that is too large."""


def section(summary: Json, folder: Path) -> Json | None:
    """The issues of each task and the files of all; None where no audit was made.

    Args:
        summary: of ``data/audit/summary.json``.
        folder: ``data/audit``.
    """
    if not summary:
        return None
    counts = {task: (len(about["issues"]), about["labels"]) for task, about in summary["tasks"].items()}
    listed = [f"{task}: {counted(wrong, 'label')} of {counted(total, 'label')}" for task, (wrong, total) in counts.items()]
    return {
        "finding": f"Likely wrong: {'; '.join(listed)}.",
        "folds": summary["folds"],
        "tables": [_table(task, about["issues"]) for task, about in summary["tasks"].items() if about["issues"]],
        "downloads": [_download(folder / name, form) for name, form in FORMS.items() if (folder / name).is_file()],
    }


def _table(task: str, issues: list[Json]) -> Table:
    shown = issues[:LISTED]
    frame = pd.DataFrame(
        {
            "row": [f"{issue['dataset']} {issue['id']}" for issue in shown],
            "text": [_cut(issue["text"]) for issue in shown],
            "token": [issue["token"] for issue in shown],
            "about": [issue["decision"] for issue in shown],
            "label": [issue["label"] for issue in shown],
            "suggested": [issue["suggested"] for issue in shown],
            "its confidence": [issue["confidence"] for issue in shown],
            "of the label": [issue["label_confidence"] for issue in shown],
        }
    )
    frame = frame.drop(columns=[name for name in ("token", "about") if not frame[name].any()])
    note = f"{len(shown)} of {counted(len(issues), 'issue')}" if len(shown) < len(issues) else counted(len(issues), "issue")
    return Table(
        task, f"{note}, most likely first", frame, {"its confidence": score, "of the label": score}, style="fold searchable", wide=True
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _download(path: Path, form: str) -> Download:
    if path.stat().st_size > EMBEDDED:
        return Download(str(path), "")
    return Download(path.name, f"data:{form};charset=utf-8;base64,{base64.b64encode(path.read_bytes()).decode()}")
