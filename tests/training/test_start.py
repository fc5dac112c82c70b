"""Runs that start from the weights of another model: what is taken over, and what stays as it was."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mtl.config import Params, Run, TransformerEncoder
from mtl.errors import UnfitError
from mtl.model import folder
from mtl.model.device import Precision
from mtl.model.model import Model
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.run import train
from mtl.training.splits import read_splits

MakeParams = Callable[..., Params]


def of(*tasks: str, model: str = "joint", seed: int = 1) -> Run:
    return Run(tasks=tasks, model=model, data="plain", seed=seed)


def trained(params: Params, run: Run, project: Path, out: Path, start: Path | None = None) -> Model:
    out.mkdir()
    train(params, run, project / "examples", project / "shards", None, out, start=start)
    return folder.load(out)


def prepared(params: Params, run: Run, project: Path, start: Path | None) -> tuple[Loop, list[str]]:
    splits = read_splits(params, run, project / "examples", project / "shards")
    return prepare(params, run, splits, None, Precision("fp32", torch.device("cpu")), start=start)


@pytest.fixture(scope="module")
def first(project: Path, make_settings: MakeParams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a first phase on two tasks."""
    out = tmp_path_factory.mktemp("first") / "model"
    trained(make_settings(), of("names", "mood", model="names+mood"), project, out)
    return out


def test_a_run_starts_from_the_encoder_and_from_the_heads_of_tasks_that_both_have(
    project: Path, make_settings: MakeParams, first: Path
) -> None:
    loop, warnings = prepared(make_settings(), of("mood", "rating", seed=2), project, first)
    plain, _ = prepared(make_settings(), of("mood", "rating", seed=2), project, None)
    before = folder.load(first)
    assert not warnings
    loop.model.encoder.restore_vocabulary()
    plain.model.encoder.restore_vocabulary()
    differs = []
    for (name, own), (_, old), (_, new) in zip(
        *(part.named_parameters() for part in (loop.model.encoder, before.encoder, plain.model.encoder)), strict=True
    ):
        assert torch.equal(own, old), name
        differs.append(not torch.equal(own, new))
    assert any(differs)
    heads = [[*model.heads[task].parameters()] for model, task in ((loop.model, "mood"), (before, "mood"))]
    assert all(map(torch.equal, *heads))
    drawn = [[*model.heads["rating"].parameters()] for model in (loop.model, plain.model)]
    assert all(map(torch.equal, *drawn))


def test_training_goes_on_from_there(project: Path, make_settings: MakeParams, first: Path, tmp_path: Path) -> None:
    params, run = make_settings(epochs=1), of("rating", model="names+mood~rating")
    assert run.start == "group_names+mood-plain-1"
    models = [trained(params, run, project, tmp_path / name, start) for name, start in (("a", first), ("b", first), ("c", None))]
    weights = [model.encoder.state_dict() for model in models]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_task_with_other_classes_gets_a_new_head(project: Path, make_settings: MakeParams, first: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(first, other)
    config = other / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"good"', '"fine"'), encoding="utf-8")
    loop, warnings = prepared(make_settings(), of("mood"), project, other)
    plain, _ = prepared(make_settings(), of("mood"), project, None)
    assert warnings == ["mood: its head and own layers are not taken over, because its type or classes differ"]
    assert all(map(torch.equal, *([*one.model.heads["mood"].parameters()] for one in (loop, plain))))


@pytest.mark.parametrize("own_layers", [0, 1])
def test_a_model_of_the_same_tasks_goes_on_where_it_was(
    project: Path, make_settings: MakeParams, tiny_bert: Path, tmp_path: Path, own_layers: int
) -> None:
    encoder = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "task_layers": own_layers}
    params = make_settings(epochs=1).model_copy(update={"encoder": TransformerEncoder.model_validate(encoder)})
    run = of("names", "mood")
    splits = read_splits(params, run, project / "examples", project / "shards")
    train(params, run, project / "examples", project / "shards", tiny_bert, tmp_path)
    loop, warnings = prepare(params, run, splits, tiny_bert, Precision("fp32", torch.device("cpu")), start=tmp_path)
    assert not warnings
    loop.model.encoder.restore_vocabulary()
    before = folder.load(tmp_path).state_dict()
    assert all(torch.equal(weight, before[name]) for name, weight in loop.model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder__width": 8}, "its encoder has other layers or another width"),
        ({"encoder__layers": 2}, "its encoder has other layers or another width"),
        ({"encoder__vocabulary": 290}, "its vocabulary is not that of the encoder"),
    ],
)
def test_another_encoder_is_refused(project: Path, make_settings: MakeParams, first: Path, change: dict[str, int], message: str) -> None:
    with pytest.raises(UnfitError, match=message):
        prepared(make_settings(**change), of("mood"), project, first)
