"""Checksums are written into a params file, and nothing else of it changes."""

import json
from pathlib import Path
from typing import Any

import pytest

import mtl.config
from mtl.config.editing import write_checksums
from mtl.errors import ParamsError

OLD, NEW = "b" * 64, "a" * 64
KEY = "datasets.mood.source"


def text(source: str, labels: str = "") -> str:
    """A params file with a source as it is written there."""
    return f"""\
# mine
seed: 1
report: {{title: &title mood.csv}}  # \u00e9 \U0001f600
datasets:
  mood:
    source: {source}
    reader: {{format: csv}}
    labels:
      mood: {{type: class, column: mood{labels}}}
    split: {{train: 0.8, test: 0.2}}
tasks: {{mood: {{type: classification, label: mood}}}}
encoder: {{type: fnn}}
"""


def write(path: Path, content: str, checksums: dict[str, str]) -> str:
    path.write_bytes(content.encode())
    write_checksums(path, mtl.config.load(path), checksums)
    for key, checksum in checksums.items():
        assert mtl.config.load(path).datasets["mood"].sources[key.partition("source.")[2] or "all"].sha256 == checksum
    return path.read_bytes().decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{url: mood.csv}", f"{{url: mood.csv, sha256: {NEW}}}"),
        ('{ "url" : "mood.csv" }', f'{{ "url" : "mood.csv", "sha256": "{NEW}" }}'),
        (f"{{url: mood.csv, sha256: {OLD}}}  # old", f"{{url: mood.csv, sha256: {NEW}}}  # old"),
        (f"{{sha256: '{OLD}', url: mood.csv}}", f"{{sha256: {NEW}, url: mood.csv}}"),
        ("{sha256: null, url: mood.csv}", f"{{sha256: {NEW}, url: mood.csv}}"),
        ("{sha256: , url: mood.csv}", f"{{sha256: {NEW} , url: mood.csv}}"),
        ("\n      url: mood.csv  # here", f"\n      url: mood.csv  # here\n      sha256: {NEW}"),
        ("\n      sha256:  # to do\n      url: mood.csv", f"\n      sha256: {NEW}  # to do\n      url: mood.csv"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_the_checksum_changes(tmp_path: Path, before: str, after: str, line_end: str, mark: str) -> None:
    smileys = ', values: {":)": pos, ":(": neg}'
    old, new = ((mark + text(source, smileys)).replace("\n", line_end) for source in (before, after))
    assert write(tmp_path / "params.yaml", old, {KEY: NEW}) == new


def test_a_file_may_end_without_a_line_end(tmp_path: Path) -> None:
    head, tail = text("X").split("    source: X\n")
    before = f"{tail[tail.index('tasks') :]}{head}{tail[: tail.index('tasks')]}    source:\n      url: mood.csv"
    assert write(tmp_path / "params.yaml", before, {KEY: NEW}) == f"{before}\n      sha256: {NEW}"


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"indent": "\t"}])
def test_json_stays_json(tmp_path: Path, layout: dict[str, Any]) -> None:
    (tmp_path / "params.yaml").write_text(text("{train: {url: a.csv}, test: {url: b.csv}}"))
    content = mtl.config.read_yaml(tmp_path / "params.yaml")
    del content["datasets"]["mood"]["split"]
    written = write(tmp_path / "params.json", json.dumps(content, **layout), {f"{KEY}.train": NEW, f"{KEY}.test": OLD})
    content["datasets"]["mood"]["source"] = {"train": {"url": "a.csv", "sha256": NEW}, "test": {"url": "b.csv", "sha256": OLD}}
    assert json.loads(written) == content


def test_a_source_with_an_anchor_is_written_once(tmp_path: Path) -> None:
    more = "  more: {source: *s, reader: {format: csv}, labels: {mood: {type: class, column: mood}}, split: {train: 0.5, test: 0.5}}\n"
    before = text("&s {url: mood.csv}").replace("tasks:", f"{more}tasks:")
    after = write(tmp_path / "params.yaml", before, {KEY: NEW, "datasets.more.source": NEW})
    assert after == before.replace("mood.csv}\n    reader", f"mood.csv, sha256: {NEW}}}\n    reader")
    path = tmp_path / "params.yaml"
    path.write_text(before)
    with pytest.raises(ParamsError, match=r"datasets\.more\.source\.sha256: .* write it yourself"):
        write_checksums(path, mtl.config.load(path), {KEY: NEW, "datasets.more.source": OLD})
    assert path.read_text() == before


def test_a_file_without_a_place_for_it_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text("{url: *title}"))
    with pytest.raises(ParamsError, match=f"{KEY}.sha256: {NEW} cannot be written here without a change to other settings"):
        write_checksums(path, mtl.config.load(path), {KEY: NEW})
    assert path.read_text() == text("{url: *title}")


def test_a_file_that_was_changed_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text("{url: mood.csv}"))
    params = mtl.config.load(path)
    edited = text("{url: mood.csv}").replace("seed: 1", "seed: 2")
    path.write_text(edited)
    with pytest.raises(ParamsError, match="was changed meanwhile"):
        write_checksums(path, params, {KEY: NEW})
    assert path.read_text() == edited


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path: Path) -> None:
    target = tmp_path / "real.yaml"
    target.write_text(text("{url: mood.csv}"))
    target.chmod(0o640)
    (tmp_path / "params.yaml").symlink_to("real.yaml")
    write_checksums(tmp_path / "params.yaml", mtl.config.load(target), {KEY: NEW})
    assert (tmp_path / "params.yaml").is_symlink()
    assert NEW in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "real.yaml"]
