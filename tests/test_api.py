"""The Python API: one call from texts to predictions, a light import, and messages for wrong input."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtl
from mtl.config import Params, TransformerEncoder
from mtl.errors import DataError, InputError, ModelError, MtlError, TrainingError
from mtl.model.folder import save
from mtl.predict import predict_lines
from mtl.serving.served import ServedModel
from training.conftest import empty, make_settings, make_table, project

__all__ = ["empty", "make_settings", "make_table", "project"]

TEXTS = ["the film was great", "", "we saw Oslo and Lima", "the film was really awful"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(project: Path, make_settings: Callable[..., Params], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mtl.training.run import train

    out, params = tmp_path_factory.mktemp("model"), make_settings(epochs=1)
    train(params, params.runs()["joint-plain-1"], project / "examples", project / "shards", None, out)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> mtl.TrainedModel:
    return mtl.load(folder, device="cpu")


@pytest.fixture(scope="module")
def branched(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> mtl.TrainedModel:
    """A model whose tasks have layers of their own, which differ."""
    import torch

    from mtl import encoders
    from mtl.model.model import Model
    from mtl.tasks.classification import Classification

    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "task_layers": 1}
    encoder, tokenizer = encoders.build(TransformerEncoder.model_validate(settings), tiny_bert, [])
    tasks = {name: Classification(Classification.fit(["a", "b"])) for name in ("first", "second")}
    built = Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0)
    with torch.no_grad():
        for parameter in encoder.own("second"):
            parameter.mul_(2)
    out = tmp_path_factory.mktemp("branched")
    save(built, out, {})
    return mtl.load(out, device="cpu")


@pytest.fixture(scope="module")
def paired(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> mtl.TrainedModel:
    """A model with a task on one text and two tasks on a pair of texts."""
    from mtl import encoders
    from mtl.model.model import Model
    from mtl.tasks.classification import Classification
    from mtl.tasks.token_classification import TokenClassification

    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32}
    encoder, tokenizer = encoders.build(TransformerEncoder.model_validate(settings), tiny_bert, [])
    pair, mood = {"fields": ["premise", "hypothesis"], "field": 1}, Classification.fit(["a", "b"])
    tasks = {
        "follows": Classification(mood | pair),
        "mood": Classification(mood),
        "names": TokenClassification(TokenClassification.fit([["B-x", "I-x"]]) | pair),
    }
    out = tmp_path_factory.mktemp("paired")
    save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0), out, {})
    return mtl.load(out, device="cpu")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, mtl; mtl.__version__, dir(mtl); print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ["torch", "numpy", "pydantic", "transformers", "mtl.api", "mtl.config"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_of_the_package_are_those_it_lists() -> None:
    assert {"load", "TrainedModel", "TaskInfo", "__version__"} <= set(dir(mtl))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = mtl.lode  # type: ignore[attr-defined]


def test_predictions_are_those_of_the_command_line(folder: Path, model: mtl.TrainedModel) -> None:
    lines = list(predict_lines(folder, TEXTS))
    predictions = model.predict(TEXTS)
    assert predictions == [{name: line[name] for name in model.tasks} for line in lines]
    assert predictions[1] == {"names": None, "mood": None, "rating": None}
    json.dumps(predictions)


def test_in_bf16_the_service_s_and_the_command_line_s_predictions_are_about_the_same(
    folder: Path, model: mtl.TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl.model.device.has_bf16_units", lambda: True)  # elsewhere it is slow
    exact = model.predict(TEXTS)
    for rounded in (
        mtl.load(folder, "cpu", "bf16").predict(TEXTS),
        list(predict_lines(folder, TEXTS, precision="bf16")),
        ServedModel(folder, "cpu", "bf16")._model.predict(TEXTS),
    ):
        for row, other in zip(rounded, exact, strict=True):
            assert (row["mood"] is None) == (other["mood"] is None)
            if row["mood"] is not None:
                assert row["mood"]["probability"] == pytest.approx(other["mood"]["probability"], abs=0.05)
    with pytest.raises(TrainingError, match="precision 'int4' is not known; choose from: fp32, bf16, int8"):
        mtl.load(folder, precision="int4")


def test_below_the_minimum_there_is_no_prediction(folder: Path, model: mtl.TrainedModel) -> None:
    texts = [text for text in TEXTS if text.strip()]
    stated = [row["mood"]["probability"] for row in model.predict(texts)]
    minimum = sorted(stated)[len(stated) // 2]
    rows = model.predict(texts, min_confidence=minimum)
    assert [row["mood"] is None for row in rows] == [probability < minimum for probability in stated]
    assert {row["mood"] is None for row in rows} == {True, False}
    assert all(row["rating"] is not None for row in rows)  # a number has no confidence
    lines = list(predict_lines(folder, texts, min_confidence=minimum))
    assert [{name: line[name] for name in model.tasks} for line in lines] == rows
    with pytest.raises(InputError, match=r"min_confidence is 80; it must be in 0\.\.1"):
        model.predict(texts, min_confidence=80)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('{"text": "Ann", "id": 1,}', "Expecting property name|Illegal trailing comma"),
        (' {"text": "Ann", "id": ' + "1" * 5000 + "}", "Exceeds the limit"),
        ('{"text": ' + "[" * 3000, "recursion"),
        ("{", "Expecting property name"),
        ("[", "Expecting value"),
        ('[{"text": "Ann"}]', "an object per line is needed"),
        ("{user} is here", "Expecting property name"),
    ],
)
def test_a_first_line_that_begins_like_json_is_never_a_text_unsaid(folder: Path, first: str, reason: str) -> None:
    lines = ["", first, '{"text": "Bob"}']
    with pytest.raises(DataError, match=rf"line 2: begins like JSON, but is not a JSON object: .*({reason}).*use --format text"):
        list(predict_lines(folder, lines))
    assert len(list(predict_lines(folder, lines, form="text"))) == 3


def test_objects_among_texts_are_never_texts_unsaid(folder: Path) -> None:
    lines = ["a list [1]", "[sic] x", "{not json", '{"text": "Ann"}']
    assert len(list(predict_lines(folder, lines[:3]))) == 3
    with pytest.raises(DataError, match="line 4: a JSON object among lines of text; name the form: --format text or --format jsonl"):
        list(predict_lines(folder, lines))
    assert len(list(predict_lines(folder, lines, form="text"))) == 4


def test_texts_may_be_mappings_with_text_or_tokens(model: mtl.TrainedModel) -> None:
    by_text, by_tokens = model.predict([{"text": TEXTS[2], "id": 7}, {"tokens": TEXTS[2].split()}])
    assert by_text == by_tokens == model.predict([TEXTS[2]])[0]


def test_only_requested_tasks_are_predicted_whatever_the_size_of_batches(model: mtl.TrainedModel) -> None:
    small = model.predict(TEXTS, tasks=["mood"], batch_tokens=8)
    assert [list(one) for one in small] == [["mood"]] * len(TEXTS)
    for one, other in zip(small, model.predict(TEXTS), strict=True):
        assert (one["mood"] and one["mood"]["label"]) == (other["mood"] and other["mood"]["label"])
    assert model.predict([]) == []


def test_tasks_on_a_pair_of_texts_take_mappings_with_both(paired: mtl.TrainedModel) -> None:
    assert paired.tasks["follows"].fields == ("premise", "hypothesis")
    pair = {"premise": "Berlin and London are large cities .", "hypothesis": "London is large .", "id": "7"}
    text = {"text": "I love this wonderful film"}
    both, first, second, empty = paired.predict([pair | text, pair, text, pair | {"premise": " "}])
    assert list(both) == ["follows", "mood", "names"]
    assert both["follows"] == pytest.approx(first["follows"], abs=1e-5)
    assert (first["mood"], second["follows"], second["names"], empty["follows"]) == (None, None, None, None)
    assert second == {"follows": None, "names": None, "mood": both["mood"]} == paired.predict([text["text"]])[0]
    for entity in both["names"]["entities"]:
        assert pair["hypothesis"][entity["start"] : entity["end"]] == entity["text"]
    swapped = {"premise": pair["hypothesis"], "hypothesis": pair["premise"]}
    assert paired.predict([swapped], tasks=["follows"])[0] != paired.predict([pair], tasks=["follows"])[0]
    assert not np.allclose(paired.embed([pair], task="follows"), paired.embed([swapped], task="follows"), atol=1e-4)


@pytest.mark.parametrize("text", ["a text", {"premise": "a text"}, {"premise": "a", "hypotesis": "b"}, {"premise": "a", "hypothesis": 1}])
def test_a_missing_text_is_named(paired: mtl.TrainedModel, text: Any) -> None:
    with pytest.raises(InputError, match=r'texts\[0\]: needs "premise" and "hypothesis" \(strings\) for follows') as error:
        paired.predict([text], tasks=["follows"])
    assert ("'hypothesis' is missing or not a string" in str(error.value)) == isinstance(text, dict)
    with pytest.raises(InputError, match=r'needs "premise" and "hypothesis" \(strings\)'):
        paired.embed([text])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("I love it", r"texts is a single str; pass a list, such as \['I love it'\]"),
        (b"I love it", "single bytes"),
        ({"text": "I love it"}, "single dict"),
        (["fine", 7], r'texts\[1\]: needs "text"'),
        ([["I", "love", "it"]], r'texts\[0\]: needs "text"'),
        ([{"tokens": "I love it"}], r'texts\[0\]: needs "text"'),
    ],
)
def test_what_is_not_a_list_of_texts_is_refused(model: mtl.TrainedModel, texts: Any, message: str) -> None:
    for method in (model.predict, model.embed):
        with pytest.raises(InputError, match=message):
            method(texts)
    assert issubclass(InputError, TypeError)
    assert issubclass(InputError, MtlError)


def test_a_string_is_not_a_row_of_tokens(model: mtl.TrainedModel) -> None:
    for rows in (["I love it"], "I love it"):
        with pytest.raises(InputError, match="row 0 is a string"):
            model._predictor.predict(rows)


def test_an_unknown_task_is_named_with_the_choices(model: mtl.TrainedModel) -> None:
    for call in (partial(model.predict, tasks=["stars"]), partial(model.embed, task="stars")):
        with pytest.raises(ModelError, match="no task 'stars'; choose from: names, mood, rating"):
            call(TEXTS)


def test_tasks_and_card_tell_about_the_model(folder: Path, model: mtl.TrainedModel) -> None:
    assert list(model.tasks) == ["names", "mood", "rating"]
    assert dataclasses.asdict(model.tasks["mood"]) == {
        "type": "classification",
        "label": "mood",
        "fields": ("text",),
        "description": "`bad`, `good`",
    }
    assert model.card is None
    (folder / "README.md").write_text("# Card\n", encoding="utf-8")
    try:
        assert mtl.load(folder, "cpu").card == "# Card\n"
    finally:
        (folder / "README.md").unlink()
    assert "tasks: names, mood, rating" in repr(model)


def test_embeddings_are_the_pooled_states_of_each_text(model: mtl.TrainedModel) -> None:
    import torch

    from mtl.model.batch import collate

    texts = [*TEXTS, "the " * 60]
    vectors = model.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((5, 16), np.float32)
    assert np.isfinite(vectors).all()
    trained = model._predictor.model
    for text, vector in zip(texts, vectors, strict=True):
        batch = collate(trained.tokenizer.encode([text.split()], trained.max_length), np.array([0]))
        with torch.inference_mode():
            states = trained.encoder(batch.subwords, batch.mask, batch.word_shape_ids)
            expected = trained.encoder.pool(states, batch.mask)[0]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(model.embed(texts, batch_tokens=8), vectors, atol=1e-5)
    np.testing.assert_array_equal(model.embed(texts, task="mood"), vectors)


def test_embeddings_of_tasks_with_layers_of_their_own_need_a_task(branched: mtl.TrainedModel) -> None:
    with pytest.raises(ModelError, match="name a task of first, second"):
        branched.embed(TEXTS)
    first, second = (branched.embed(TEXTS, task=name) for name in ("first", "second"))
    assert first.shape == second.shape == (4, 32)
    assert not np.allclose(first, second, atol=1e-3)


def test_a_folder_that_is_not_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        mtl.load(tmp_path)


# --- hf://owner/name --------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """What ``snapshot_download`` asks a hub: a revision, its files with their sizes, and each file."""

    def __init__(self, *args: Any, folder: Path, requested: list[str]) -> None:
        self.folder, self.requested = folder, requested
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/name/tree/"):
            sizes = {file.name: file.stat().st_size for file in sorted(self.folder.iterdir())}
            files = [{"type": "file", "path": name, "size": size, "oid": f"{size:040x}"} for name, size in sizes.items()]
            self._send(200, json.dumps(files).encode())
        elif path.startswith("/api/models/owner/name"):
            files = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
            self._send(200, json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": files}).encode())
        elif path.startswith(f"/owner/name/resolve/{COMMIT}/"):
            if self.command == "GET":
                self.requested.append(path.rpartition("/")[2])
            self._send(200, (self.folder / path.rpartition("/")[2]).read_bytes())
        else:
            self._send(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        headers |= {"Content-Length": str(len(content)), "ETag": f'"{len(content)}"', "X-Repo-Commit": COMMIT}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub on loopback that holds ``owner/name``: its address, and the names of the files that were fetched."""
    requested: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=folder, requested=requested))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()


def loaded(source: str, endpoint: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a fresh process prints that loads a model and predicts a text; the address of the hub is read at the first import."""
    code = f"""
import mtl
try:
    print(mtl.load({source!r}, "cpu").predict(["the film was great"], tasks=["mood"]))
except mtl.errors.ModelError as error:
    print(error)
"""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_a_model_is_loaded_from_a_hub_and_then_from_the_cache(folder: Path, model: mtl.TrainedModel, tmp_path: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    expected = str(model.predict(["the film was great"], tasks=["mood"]))
    with hub(folder) as (endpoint, requested):
        done = loaded("hf://owner/name", endpoint, tmp_path)
        assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr
        assert sorted(requested) == ["config.json", "model.safetensors", "tokenizer.json"]
        assert "pytorch_model.bin" in [file.name for file in folder.iterdir()]
        assert loaded("hf://owner/other", endpoint, tmp_path).stdout.startswith("hf://owner/other: cannot be downloaded: ")
    assert loaded("hf://owner/name", endpoint, tmp_path, HF_HUB_OFFLINE="1").stdout.strip() == expected


@pytest.mark.parametrize("source", ["hf://name//", "hf://a/b/c", "hf://"])
def test_an_address_that_is_not_of_a_model_is_named(source: str) -> None:
    with pytest.raises(ModelError, match=f"{source}: cannot be downloaded: "):
        mtl.load(source)
