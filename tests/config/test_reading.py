"""Files and options as plain values: what is read, and that odd ones end in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

import mtl.config
from mtl.config.reading import MAX_BYTES
from mtl.errors import ParamsError

VALUES = [
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("null", None),
    ("~", None),
    ("", None),
    ("None", "None"),
    ("1e-5", 1e-05),
    ("1e-05", 1e-05),
    (".5", 0.5),
    ("20", 20),
    ("010", 10),
    ("0o10", 8),
    ("0x1F", 31),
    ("1:30", "1:30"),
    ("'20'", "20"),
    ("'2020-01-01'", "2020-01-01"),
    ("all", "all"),
]
"""YAML 1.2 scalars and their values."""


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_value_is_the_same_in_the_file_and_on_the_command_line(tmp_path: Path, text: str, value: Any) -> None:
    (tmp_path / "params.yaml").write_text(f"a:\n  b: {text}\n")
    expected = {"a": {"b": value}}
    for content in (mtl.config.read_yaml(tmp_path / "params.yaml"), mtl.config.read_option(f"a={{b: {text}}}")):
        assert content == expected
        assert type(content["a"]["b"]) is type(value)
    assert mtl.config.read_option(f"a={text}") == {"a": value}


def test_yaml_is_read_as_dvc_writes_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("rate: 1e-05\nword: on\n")
    assert mtl.config.read_yaml(tmp_path / "params.yaml") == {"rate": 1e-05, "word": "on"}


def test_an_option_that_is_not_yaml_names_its_section() -> None:
    with pytest.raises(ParamsError) as caught:
        mtl.config.read_option("train={epochs: 1")
    (issue,) = caught.value.issues
    assert (caught.value.source, issue.key) == ("--config", "train")
    assert issue.message.startswith("cannot be read as YAML: line 1, column ")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


def nested(levels: int) -> str:
    return "a: " + "{b: " * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("a: [", "file", "cannot be read as YAML: line 1, column 5: expected the node content, but found '<stream end>'"),
        ("a: 1\na: 2", "file", 'cannot be read as YAML: line 2, column 1: found duplicate key "a"'),
        ("a: 1\n---\nb: 2", "file", "expected a single document in the stream, but found another document"),
        ("a: !python/name:os x", "file", "could not determine a constructor for the tag"),
        ("a: 2020-13-45", "file", "month must be"),
        ("a: !!int ''", "file", "cannot be read as YAML"),
        ("a: \x01", "file", "unacceptable character"),
        ("- a", "file", "must be a mapping"),
        ("", "file", "must be a mapping"),
        (None, "file", "does not exist"),
        ("a: \xff".encode("utf-16"), "file", "cannot be read: 'utf-8' codec"),
        ("a: " + "[" * 3000, "file", "is nested too deeply"),
        (nested(300), "a.b.b", "is nested more than 30 levels deep"),
        ("a: &a {b: *a}", "file", "an alias is inside its own anchor"),
        ("a: &a [*a, *a]", "file", "an alias is inside its own anchor"),
        (BOMB, "file", "has more than 100,000 values, those of an alias counted each time"),
        (MERGES, "file", "has more than 100,000 values"),
        (f"a: 1 #{'x' * MAX_BYTES}", "file", "has more than 1,000,000 characters"),
        (f"a: {10**79}", "a", "must be from -2^63 to 2^63 - 1"),
        (f"a: {10**5000:x}".replace("a: ", "a: 0x"), "a", "must be from -2^63"),
        ("a: {b: [.nan]}", "a.b.0", "must be a number, not NaN"),
        ("a: 2020-01-01", "a", "is read as a date; write it in quotes"),
        ("a: !!set {x, y}", "a", "is read as a set"),
        ('a: "\\0"', "a", "NUL"),
        ('a: "\\ud800"', "a", "half of a surrogate pair"),
    ],
)
def test_odd_files_end_in_one_line(tmp_path: Path, text: str | bytes | None, key: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ParamsError) as caught:
        mtl.config.read_yaml(path)
    (issue,) = caught.value.issues
    assert issue.key == key
    assert message in issue.message
    assert "\n" not in issue.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON: Expecting property name"),
        ('{"a": 1, "a": 2}', "key 'a' is there twice"),
        ('{"a": NaN}', "must be a number, not NaN"),
        ('{"a": ' + "[" * 100_000, "is nested too deeply"),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", "is nested more than 30 levels deep"),
    ],
)
def test_odd_json_ends_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.json"
    path.write_text(text)
    with pytest.raises(ParamsError) as caught:
        mtl.config.read_yaml(path)
    assert message in str(caught.value)


def test_a_byte_order_mark_is_not_content(tmp_path: Path) -> None:
    for name, text in (("params.yaml", "seed: 1"), ("params.json", json.dumps({"seed": 1}))):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert mtl.config.read_yaml(tmp_path / name) == {"seed": 1}


def test_aliases_and_merges_are_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n")
    assert mtl.config.read_yaml(tmp_path / "params.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}
