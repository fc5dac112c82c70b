"""The site builds without a warning, needs nothing from outside, and its reference has every setting and command."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reference import PARSER, cli, settings

import mtl.config
from docs.pages import ROOT
from docs.words import violations

pytest.importorskip("sphinx", reason="pip install -e .[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(out / "trees")]
    built = subprocess.run([*command, "docs", str(out / "html")], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out / "html"


class _Loaded(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.urls.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.urls.append(values.get("href") or "")


def test_the_site_loads_nothing_from_outside(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert [url for url in parser.urls if re.match(r"(?:https?:)?//", url)] == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_the_site_shows_every_setting(site: Path) -> None:
    page = (site / "reference/settings.html").read_text(encoding="utf-8")
    schema = mtl.config.json_schema()
    keys = {key for model in (schema, *schema["$defs"].values()) for key in model.get("properties", {})}
    assert len(keys) > 80
    assert [key for key in sorted(keys) if f'<span class="pre">{key}</span>' not in page] == []


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"(?:^- \*\*`|^## `|^### .* with `)(\w+)", settings(), flags=re.MULTILINE))
    schema = mtl.config.json_schema()
    assert described == {key for model in (schema, *schema["$defs"].values()) for key in model.get("properties", {})}


def test_every_command_is_described() -> None:
    text = cli()
    (commands,) = (action.choices for action in PARSER()._actions if hasattr(action, "_choices_actions"))
    assert [command for command in commands if f"### `{command}`" not in text] == []
    assert text.index("### `predict`") < text.index("## Commands that the workflow calls") < text.index("### `train_run`")


def test_the_docstrings_of_the_python_api_use_the_words_of_the_glossary(site: Path) -> None:
    (article,) = re.findall(r"<article.*?</article>", (site / "reference/api.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"<code.*?</code>|<dt.*?</dt>", "", article, flags=re.DOTALL)
    assert violations(html.unescape(re.sub(r"<[^>]+>", "", text))) == []
