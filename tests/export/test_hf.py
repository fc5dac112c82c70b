"""The pipelines of transformers predict what the model predicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXTS = ["Angela Merkel visited Paris with a friend", "a", "I love this wonderful film . . .", "fox fox jumps"]
HEADS = ["bert", "camembert", "ernie", "roberta", "xlm-roberta"]


Exported = tuple[Path, Path]


@pytest.fixture(scope="module", params=["mean", "first"])
def exported(request: pytest.FixtureRequest, make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model and its export; one with pooling ``first`` and layers of each task's own."""
    from mtl.cli import main
    from mtl.model.folder import load, save

    own = {} if request.param == "mean" else {"pooling": "first", "task_layers": 1}
    folder, out = make_model(**own), tmp_path_factory.mktemp("exported") / "hf"
    model = load(folder)
    for number, tag in enumerate(model.tasks["names"].tags):  # without inner tags, the most probable ones are always legal
        model.heads["names"].layers[1].bias.data[number] -= 50 * tag.startswith("I-")
    save(model, folder, {})
    tasks = [f"--task={name}" for name in ("mood", "topics", "stars", "names", "follows", "answer")]
    assert main(["export", "--model", str(folder), "--to", "hf", "--out", str(out), *tasks]) == 0
    return folder, out


def pipeline(task: str, folder: Path, **options: Any) -> Any:
    import transformers

    return transformers.pipeline(task, str(folder), device="cpu", **options)


def test_classes_and_their_probabilities(exported: Exported) -> None:
    import mtl

    model, out = exported
    expected = [row["mood"] for row in mtl.load(model).predict(TEXTS, tasks=["mood"])]
    for actual, row in zip(pipeline("text-classification", out / "mood", batch_size=4)(TEXTS), expected, strict=True):
        assert (actual["label"], actual["score"]) == (row["label"], pytest.approx(row["probability"], abs=1e-5))


def test_pairs(exported: Exported) -> None:
    import mtl

    model, out = exported
    pairs = [{"premise": a, "hypothesis": b} for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]
    expected = [row["follows"] for row in mtl.load(model).predict(pairs, tasks=["follows"])]
    texts = [{"text": pair["premise"], "text_pair": pair["hypothesis"]} for pair in pairs]
    for actual, row in zip(pipeline("text-classification", out / "follows")(texts), expected, strict=True):
        assert (actual["label"], actual["score"]) == (row["label"], pytest.approx(row["probability"], abs=1e-5))


def test_several_classes(exported: Exported) -> None:
    import mtl

    model, out = exported
    tagger = pipeline("text-classification", out / "topics", top_k=None)
    thresholds = tagger.model.config.thresholds
    assert thresholds == pytest.approx([1 / (1 + (1 / threshold - 1) ** (1 / 1.1)) for threshold in (0.4, 0.6)])
    expected = [row["topics"]["labels"] for row in mtl.load(model).predict(TEXTS, tasks=["topics"])]
    for scores, labels in zip(tagger(TEXTS), expected, strict=True):
        reached = [score for score in scores if score["score"] >= thresholds[tagger.model.config.label2id[score["label"]]]]
        assert [(score["label"], pytest.approx(score["score"], abs=1e-5)) for score in reached] == [
            (label["label"], label["probability"]) for label in labels
        ]


def test_numbers_are_in_their_own_units(exported: Exported) -> None:
    import mtl

    model, out = exported
    expected = [row["stars"]["value"] for row in mtl.load(model).predict(TEXTS, tasks=["stars"])]
    actual = [row["score"] for row in pipeline("text-classification", out / "stars", function_to_apply="none")(TEXTS)]
    assert actual == pytest.approx(expected, abs=1e-5)


def test_entities(exported: Exported) -> None:
    import mtl

    model, out = exported
    tagger = pipeline("token-classification", out / "names", aggregation_strategy="first")
    expected = [row["names"]["entities"] for row in mtl.load(model).predict(TEXTS, tasks=["names"])]
    assert any(expected)
    for text, entities in zip(TEXTS, expected, strict=True):
        assert [(e["entity_group"], e["start"], e["end"]) for e in tagger(text)] == [(e["type"], e["start"], e["end"]) for e in entities]


def test_starts_and_ends_of_answers(exported: Exported) -> None:
    """There is no pipeline for them any more."""
    import numpy as np
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    from mtl.model.batch import Pair, collate, encode_rows
    from mtl.model.folder import load

    folder, out = exported
    model, question, context = load(folder), "Who visited Paris ?", "Angela Merkel visited Paris with a friend ."
    batch = collate(encode_rows(model.tokenizer, [Pair(question.split(), context.split())], 32, windows=False), np.arange(1))
    texts = AutoTokenizer.from_pretrained(out / "answer")(question, context, return_tensors="pt")
    with torch.inference_mode():
        expected = model(batch, ["answer"])["answer"][0] / model.tasks["answer"].temperature
        actual = AutoModelForQuestionAnswering.from_pretrained(out / "answer")(**texts)
    starts = batch.words(1)[0] >= 0
    assert starts.sum() == len(context.split())
    both = torch.stack([actual.start_logits[0], actual.end_logits[0]], dim=-1)
    assert both[starts].numpy() == pytest.approx(expected[starts].numpy(), abs=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("name", HEADS)
def test_logits_of_each_type_of_encoder(name: str, pooling: str, tmp_path: Path) -> None:
    import numpy as np
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    from conftest import write_wordpiece
    from mtl import encoders
    from mtl.config import TransformerEncoder
    from mtl.export import hf
    from mtl.model.batch import collate, encode_rows
    from mtl.model.folder import save
    from mtl.model.model import Model
    from mtl.tasks.classification import Classification

    assert list(hf.HEADS) == HEADS
    (tmp_path / "encoder").mkdir()
    size = write_wordpiece(tmp_path / "encoder" / "tokenizer.json")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 0}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(name, vocab_size=size, **sizes)).save_pretrained(tmp_path / "encoder")
    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "word_shape": False, "pooling": pooling}
    encoder, tokenizer = encoders.build(TransformerEncoder.model_validate(settings), tmp_path / "encoder", [])
    model = Model(encoder, tokenizer, {"mood": Classification(Classification.fit(list("abcde")))}, max_length=32, dropout=0.0).eval()
    for weight in model.heads.parameters():
        torch.nn.init.normal_(weight, std=2.0)
    (tmp_path / "model").mkdir()
    save(model, tmp_path / "model", {})
    hf.export(tmp_path / "model", tmp_path / "out")
    batch = collate(encode_rows(tokenizer, [text.split() for text in TEXTS], 32, windows=False), np.arange(len(TEXTS)))
    texts = AutoTokenizer.from_pretrained(tmp_path / "out" / "mood")(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(batch, ["mood"])["mood"]
        actual = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "mood")(**texts).logits
    assert float(expected.abs().max()) > 2
    assert actual.numpy() == pytest.approx(expected.numpy(), abs=1e-5, rel=1e-5)


def test_what_transformers_lacks_is_named(make_model: Callable[..., Path], tmp_path: Path) -> None:
    from mtl.errors import ExportError
    from mtl.export.hf import export

    with pytest.raises(ExportError, match=r"cause cannot .* the states of markers; choose with --task from: mood, topics, "):
        export(make_model(), tmp_path / "out")
    with pytest.raises(ExportError, match=r"no word shapes; train with encoder.word_shape: false"):
        export(make_model(word_shape=True), tmp_path / "out", ["mood"])
    assert list(tmp_path.iterdir()) == []
