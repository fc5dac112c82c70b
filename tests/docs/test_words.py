"""The words of the glossary: what readers see uses the field's terms."""

import argparse
import re
from pathlib import Path

import pytest
from reference import PARSER, filled

from docs.pages import PAGES, ROOT, name
from docs.words import violations

EXEMPT = {
    "docs/appendix/augmentation-samples.md": r"^\| \d.*$",  # tweets
    "docs/appendix/changelog.md": "",
    "CHANGELOG.md": r"^\| .*$",  # names as they were before
}
"""Page to what in it is left out."""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    text = re.sub(EXEMPT.get(name(page), r"(?!)"), "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert violations(text) == []


def test_the_command_line_uses_them_too() -> None:
    assert violations(_help(PARSER())) == []


def test_settings_and_docstrings_in_the_reference_use_them_too() -> None:
    assert violations(filled("<!-- generated: settings -->")) == []


def test_the_templates_of_the_report_use_them_too() -> None:
    for template in sorted((ROOT / "src/mtl/report").glob("*.html")):
        text = re.sub(r"<(?:script|style).*?</(?:script|style)>|<[^>]*>|\{[{%].*?[%}]\}", " ", template.read_text(), flags=re.DOTALL)
        assert violations(text) == [], template.name


def _help(parser: argparse.ArgumentParser) -> str:
    """The help of a parser and of its commands."""
    texts = [parser.format_help()]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts += map(_help, action.choices.values())
    return "\n".join(texts)


@pytest.mark.parametrize(
    "text",
    [
        "2,048 pieces of text",
        "the sum of a file",
        "sums are stated",
        "the seven milestones",
        "each task alone",
        "a kind of label",
        "3 fault(s)",
        "rows are dealt out",
        "that task is drowned",
        "a row is answered",
        "twice the say",
        "a data set",
        "it is no number",
        "rows, of which one is a variant",
        "1 variants per row",
        "`--part` names the run",
        "`alone`: [plain]",
    ],
)
def test_words_to_avoid_are_found(text: str) -> None:
    assert violations(text)


@pytest.mark.parametrize(
    "text",
    [
        "a weighted sum of the losses",
        "the sum of all gradients",
        "the checksum of a file",
        "the docs have four parts",
        "part of a word",
        "`dvc pull` gets them",
        "11 variants",
        "the answer to a question",
        "is no longer used",
        "`benchmarks/known_answer.py`",
        "```python\nalone = 1\n```",
    ],
)
def test_words_in_their_right_place_are_not(text: str) -> None:
    assert violations(text) == []
