"""Every relative link leads to a file, and every anchor to a heading of it."""

import re
from pathlib import Path

import pytest
from reference import filled

from docs.pages import PAGES, ROOT, anchors, name, prose

LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
INCLUDED = {"docs/appendix/changelog.md": "CHANGELOG.md"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            broken.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(filled(file.read_text(encoding="utf-8"))):
            broken.append(f"{target}: no such heading")
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", (ROOT / "docs/index.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    listed = {line.partition("<")[2].rstrip(">") or line for line in lines}
    assert listed == {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in (ROOT / "docs").rglob("*.md")} - {"index"}


def test_paths_in_the_source_tree_exist() -> None:
    tree = (ROOT / "docs/reference/files.md").read_text().split("## Source tree")[1]
    paths = re.findall(r"^    (src/mtl/[\w./]+|workflow/\w+|params\.yaml|dvc\.yaml)", tree, flags=re.MULTILINE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_source_files_named_in_pages_exist() -> None:
    path = re.compile(r"`((?:src|benchmarks|workflow|examples|tests)/[\w/.-]+)`")
    named = {(name(page), match) for page in PAGES for match in path.findall(prose(page))}
    assert [item for item in sorted(named) if not (ROOT / item[1]).exists()] == []
