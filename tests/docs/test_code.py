"""Blocks of code in the documentation are right: settings validate, Python runs, commands parse."""

import contextlib
import copy
import io
import itertools
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from reference import PARSER
from ruamel.yaml import YAML

import mtl.config
from docs.pages import PAGES, ROOT, Block, blocks, name
from mtl.errors import ParamsError

PARAMS = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")
BY_NAME = ("datasets", "tasks", "methods")
"""Sections whose entries have names; in examples they stand beside those of ``examples/tweets``."""

PAGES_WITH = {
    language: [page for page in PAGES if not all(block.skipped for block in blocks(page, language))]
    for language in ("yaml", "python", "sh")
}


def merged(base: Mapping[str, Any], more: Mapping[str, Any], *, named: bool = False) -> dict[str, Any]:
    """Settings with an example put into them: its sections key by key, its datasets, tasks and methods as a whole."""
    result = dict(base)
    for key, value in more.items():
        known = result.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping) and not named
        result[key] = merged(known, value, named=key in BY_NAME) if both else value
    return result


def _fresh_types(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Without sections of another type than the example's, whose keys would not fit."""
    return {key: value for key, value in base.items() if not (isinstance(more.get(key), Mapping) and "type" in more[key])}


@pytest.mark.parametrize("page", PAGES_WITH["yaml"], ids=name)
def test_settings_validate(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if block.skipped:
            continue
        content = YAML(typ="safe").load(block.code)
        base = _fresh_types(copy.deepcopy(PARAMS), content)
        if "tasks" in content and "datasets" in content:  # then it replaces both, and with them the defaults' use of methods
            base |= {"datasets": {}, "tasks": {}}
        try:
            mtl.config.parse(merged(base, content))
        except ParamsError as error:
            pytest.fail(f"{name(page)}:{block.line}: {error}")


@pytest.mark.parametrize("page", PAGES_WITH["python"], ids=name)
def test_python_runs(page: Path, tmp_path: Path) -> None:
    """In one namespace per page, as a reader would run it."""
    namespace: dict[str, Any] = {"__name__": "documentation"}
    with contextlib.chdir(tmp_path):
        for block in blocks(page, "python"):
            if not block.skipped:
                exec(compile(block.code, f"{name(page)}:{block.line}", "exec"), namespace)


def test_python_that_is_skipped_is_python() -> None:
    skipped = [(page, block) for page in PAGES for block in blocks(page, "python") if block.skipped]
    assert skipped
    for page, block in skipped:
        compile(block.code, f"{name(page)}:{block.line}", "exec")


def commands(block: Block) -> list[list[str]]:
    """The words of each command of a shell block, without comments."""
    lines = re.sub(r"\\\n", " ", block.code).splitlines()
    return [words for line in lines for part in re.split(r" \| | && ", line) if (words := shlex.split(part, comments=True))]


@pytest.mark.parametrize("page", PAGES_WITH["sh"], ids=name)
def test_commands_of_mtl_parse(page: Path) -> None:
    for block in blocks(page, "sh"):
        for words in commands(block):
            start = next((i + 2 for i in range(len(words) - 1) if words[i : i + 2] == ["-m", "mtl"]), None)
            if start is None:
                continue
            arguments = list(itertools.takewhile(lambda word: word not in (">", "||"), words[start:]))
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    PARSER().parse_args(arguments)
            except SystemExit:
                pytest.fail(f"{name(page)}:{block.line}: {shlex.join(words)}")


@pytest.mark.parametrize("page", PAGES_WITH["sh"], ids=name)
def test_targets_of_snakemake_come_before_options_that_take_several_words(page: Path) -> None:
    for block in blocks(page, "sh"):
        for words in commands(block):
            if words[0] != "snakemake":
                continue
            option = next((i for i, word in enumerate(words) if word in ("--config", "--configfile")), len(words))
            targets = [word for word in words[option + 1 :] if not word.startswith("-") and "=" not in word and not word.endswith(".yaml")]
            assert targets == [], f"{name(page)}:{block.line}: {shlex.join(words)}"
