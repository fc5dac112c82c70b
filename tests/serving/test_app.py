"""Routes of the service over HTTP: predictions, refusals that name what is wrong, and metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.serving.process import Serving

import mtl

TEXTS = ["I love this wonderful film .", "", {"premise": "a film", "hypothesis": "it is great"}, {"tokens": ["New", "York"]}]


def test_predictions_are_those_of_the_python_api(serving: Serving, folder: Path) -> None:
    reply = serving.post("/predict", {"texts": TEXTS})
    assert reply.status == 200
    assert rounded(reply.json["predictions"]) == rounded(mtl.load(folder, "cpu").predict(TEXTS))


def rounded(value: Any) -> Any:
    """Batches differ, and so does the last digit."""
    return json.loads(json.dumps(value), parse_float=lambda digits: round(float(digits), 4))


def test_tasks_can_be_chosen(serving: Serving) -> None:
    (prediction,) = serving.post("/predict", {"texts": ["a film"], "tasks": ["stars", "mood"]}).json["predictions"]
    assert list(prediction) == ["mood", "stars"]


def test_below_the_minimum_a_task_is_null(serving: Serving, folder: Path) -> None:
    expected = mtl.load(folder, "cpu").predict(TEXTS, min_confidence=0.7)
    reply = serving.post("/predict", {"texts": TEXTS, "min_confidence": 0.7})
    assert rounded(reply.json["predictions"]) == rounded(expected) != rounded(mtl.load(folder, "cpu").predict(TEXTS))


def test_every_reply_names_the_version(serving: Serving) -> None:
    version = serving.get("/model").json["model"]
    assert re.fullmatch(r"joint@[0-9a-f]{12}", version)
    replies = [serving.get(path) for path in ("/health", "/ready", "/metrics", "/docs", "/", "/nothing")]
    assert {reply.headers["mtl-model"] for reply in [*replies, serving.post("/predict", b"{")]} == {version}
    assert serving.post("/predict", {"texts": []}).json == {"model": version, "predictions": []}


def test_the_model_is_described(serving: Serving, folder: Path) -> None:
    from mtl.files import checksum

    model = serving.get("/model").json
    assert model["checksums"] == {name: checksum(folder / name) for name in ("config.json", "tokenizer.json", "model.safetensors")}
    assert model["tasks"]["names"] | {"description": ""} == {
        "type": "token_classification",
        "label": "tags",
        "fields": ["text"],
        "field": "text",
        "classes": ["person", "place"],
        "description": "",
    }


@pytest.mark.parametrize(
    ("body", "location", "reason"),
    [
        (b'{"texts": [', ["body", 11], "JSON decode error"),
        (b'{"texts": ["\xff"]}', ["body"], "is not JSON in UTF-8"),
        (b"[" * 15_000, ["body"], "nested too deeply"),
        ({"text": ["a"]}, ["body", "texts"], "required"),
        ({"texts": ["a"], "task": "mood"}, ["body", "task"], "not permitted"),
        ({"texts": ["a"], "tasks": []}, ["body", "tasks"], "at least 1"),
        ({"texts": ["a"], "tasks": ["mood", "mode"]}, ["body", "tasks", 1], "choose from: mood, topics, stars, names, follows, cause"),
        ({"texts": ["a", 3]}, ["body", "texts", 1], "valid"),
        ({"texts": ["a", "\ud800"]}, ["body", "texts", 1], "surrogates"),
        (b'{"texts": [NaN]}', ["body", "texts", 0], "valid"),
        ({"texts": ["a", {"premise": "b"}]}, ["body", "texts", 1], '"premise" and "hypothesis"'),
        ({"texts": ["a"], "min_confidence": 80}, ["body", "min_confidence"], "less than or equal to 1"),
        ({"texts": ["a"] * 9}, ["body", "texts"], "9 texts; a request may have 8"),
        ({"texts": ["a", {"text": "a" * 2001}]}, ["body", "texts", 1], "2,001 characters; a text may have 2,000"),
    ],
)
def test_a_wrong_request_is_refused_with_the_field(serving: Serving, body: Any, location: list[Any], reason: str) -> None:
    reply = serving.post("/predict", body)
    assert reply.status == 422, reply.body
    (issue, *_) = reply.json["detail"]
    assert issue["loc"][: len(location)] == location
    assert reason in json.dumps(reply.json["detail"]).replace('\\"', '"')


def test_a_large_body_is_refused(serving: Serving) -> None:
    assert serving.post("/predict", {"texts": ["a" * 20_001]}).status == 413


def test_a_large_body_of_unknown_length_is_refused(serving: Serving) -> None:
    import http.client

    connection = http.client.HTTPConnection(serving.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/predict", iter([b"x" * 10_000] * 3), {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_metrics_count_requests_texts_and_tokens(serving: Serving) -> None:
    def values() -> dict[str, float]:
        return {
            name: float(number) for name, number in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", serving.get("/metrics").body.decode(), re.M)
        }

    before = values()
    serving.post("/predict", {"texts": ["a wonderful film", "great !"]})
    after = values()
    gained = {name: after[name] - before.get(name, 0) for name in after}
    assert gained['mtl_requests_total{route="/predict",status="200"}'] == 1
    assert gained['mtl_request_seconds_count{route="/predict"}'] == 1
    assert gained["mtl_batch_texts_sum"] == 2
    assert gained["mtl_tokens_total"] == 5
    assert after["mtl_queue_texts"] == 0


def test_another_host_name_is_refused(serving: Serving) -> None:
    """A page of the web could give this machine a name of its own."""
    assert serving.get("/health", Host="evil.example").status == 400
    assert serving.get("/health", Host="localhost:1").status == 200


def test_the_description_and_its_page_need_no_network(serving: Serving) -> None:
    assert "/predict" in serving.get("/openapi.json").json["paths"]
    for path in ("/docs", "/"):
        page = serving.get(path).body.decode()
        assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page)), page
        for asset in re.findall(r'(?:src|href)="(/[^"]*)"', page):
            assert serving.get(asset).status == 200, asset
