"""Prediction on new texts with a model that the workflow trained."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import DataError, ModelError
from mtl.predict import predict_lines
from workflow.make_project import Project

pytestmark = pytest.mark.workflow
TEXT = "Bob Lee saw small red cars in New York."


@pytest.fixture(scope="module")
def model(finished: Project) -> Path:
    return finished.folder / "data/models/joint-augmented-1"


def test_entities_carry_their_offsets(model: Path) -> None:
    (prediction,) = predict_lines(model, [TEXT + "\n"])
    assert list(prediction) == ["text", "names", "mood"]
    assert 0 <= prediction["mood"]["probability"] <= 1
    for entity in prediction["names"]["entities"]:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]


def test_forms_agree_and_further_keys_are_carried_along(model: Path) -> None:
    tokens = ["Bob", "Lee", "saw", "small", "red", "cars", "in", "New", "York", "."]
    lines = [json.dumps({"id": 7, "text": TEXT}), json.dumps({"tokens": tokens})]
    by_text, by_tokens = predict_lines(model, lines, tasks=["names"])
    assert by_text["id"] == 7
    assert by_tokens["text"] == "Bob Lee saw small red cars in New York ."
    entities = [[(e["type"], e["text"]) for e in prediction["names"]["entities"]] for prediction in (by_text, by_tokens)]
    assert entities[0] == entities[1]


def test_empty_lines_and_batches_keep_their_place(model: Path) -> None:
    lines = ["the day was sad", "", *["the film was lovely"] * 2000]
    predictions = list(predict_lines(model, lines, tasks=["mood"]))
    assert [prediction["text"] for prediction in predictions] == lines
    assert predictions[1]["mood"] is None
    assert len({prediction["mood"]["label"] for prediction in predictions[2:]}) == 1


def test_a_mark_of_byte_order_and_blank_lines_do_not_hide_json(model: Path) -> None:
    lines = ["\ufeff" + json.dumps({"text": "a film"}), "", json.dumps({"text": "a day"})]
    assert [prediction["text"] for prediction in predict_lines(model, lines, tasks=["mood"])] == ["a film", "a day"]


@pytest.mark.parametrize(
    ("lines", "options", "error", "message"),
    [
        (['{"text": "a"}', "b"], {}, DataError, "line 2: not JSON of valid Unicode"),
        (['{"words": []}'], {}, DataError, 'line 1: needs "text"'),
        (['{"tokens": ["a", ""]}'], {}, DataError, "not empty"),
        (['{"text": "\\ud800"}'], {}, DataError, "line 1: not JSON of valid Unicode"),
        (['{"text": "a", "x": NaN}'], {}, DataError, "line 1: not JSON of valid Unicode"),
        (["a"], {"tasks": ["stars"]}, ModelError, "no task 'stars'; choose from: names, mood"),
    ],
)
def test_mistakes_are_named(model: Path, lines: list[str], options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(predict_lines(model, lines, **options))


def typed(model: Path, given: bytes, *options: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What ``mtl predict`` does with its standard input."""
    command = f'"{sys.executable}" -m mtl predict --model "{model}" {" ".join(options)} {redirect}'
    return subprocess.run(["bash", "-c", command], input=given, capture_output=True, env=os.environ | environment, check=False, timeout=120)


def test_a_line_ends_with_a_line_feed_and_predictions_are_utf8(model: Path) -> None:
    done = typed(model, "caf\u00e9 \U0001f600\rtwo\r\nthree\n".encode(), "--task", "mood", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["text"] for line in done.stdout.decode().splitlines()] == ["caf\u00e9 \U0001f600\rtwo", "three"]


@pytest.mark.parametrize(
    ("given", "options", "redirect", "message"),
    [
        (b"good\n" * 3 + b"caf\xe9\n", [], "", "-: line 4: not UTF-8: byte 0xe9 at 3"),
        (b"", ["--task", "stars"], "", "no task 'stars'; choose from: names, mood"),
        (b"", [], "<&-", "standard input is closed"),
        (b"good\n", [], ">&-", "standard output is closed"),
    ],
)
def test_mistakes_end_with_status_2_and_no_traceback(model: Path, given: bytes, options: list[str], redirect: str, message: str) -> None:
    done = typed(model, given, *options, redirect=redirect)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
