"""Models of all task types with random weights, and texts for them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

LINES = [
    {"text": "Angela Merkel visited Paris in 2015 with a friend from New York. " * 4, "premise": "a friend", "hypothesis": "Berlin"},
    {"text": "the <e1>fox</e1> jumps over the <e2>lazy dog</e2>.", "premise": "I love this film " * 9, "hypothesis": "It is great !"},
    {"text": "I love this wonderful film, it is GREAT!"},
    {"text": "[SEP] \u200b é [CLS] 漢字", "question": "Who visited Paris?", "context": "Angela Merkel visited Paris with a friend. " * 7},
    {"text": "", "question": "Which cities are large?", "context": "Berlin and London are large cities."},
    *({"text": "boring " * number} for number in range(1, 9)),
]


@pytest.fixture(scope="session")
def make_model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a model folder."""

    def make(**settings: object) -> Path:
        import torch

        from mtl import encoders
        from mtl.config import TransformerEncoder
        from mtl.model.folder import save
        from mtl.model.model import Model
        from mtl.tasks.base import TaskType
        from mtl.tasks.classification import Classification
        from mtl.tasks.multilabel_classification import MultilabelClassification
        from mtl.tasks.question_answering import QuestionAnswering
        from mtl.tasks.regression import Regression
        from mtl.tasks.relation_classification import RelationClassification
        from mtl.tasks.token_classification import TokenClassification

        fixed = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "word_shape": False}
        encoder, tokenizer = encoders.build(TransformerEncoder.model_validate(fixed | settings), tiny_bert, [])
        tokenizer.add_markers(RelationClassification.markers)
        tasks: dict[str, TaskType] = {
            "mood": Classification(Classification.fit(["bad", "good"])),
            "topics": MultilabelClassification(MultilabelClassification.fit([["film"], ["place", "film"]]) | {"thresholds": [0.4, 0.6]}),
            "stars": Regression(Regression.fit([1.0, 5.0])),
            "names": TokenClassification(TokenClassification.fit([["B-person", "I-person"], ["B-place"]]) | {"segmentation": "spaces"}),
            "follows": Classification(Classification.fit(["yes", "no"]) | {"fields": ["premise", "hypothesis"], "field": 1}),
            "cause": RelationClassification(RelationClassification.fit([{"class": "Cause(e1,e2)"}, {"class": "Other"}])),
            "answer": QuestionAnswering(
                QuestionAnswering.fit([[{"start": 0, "end": 1, "text": "x"}]]) | {"fields": ["question", "context"], "field": 1}
            ),
        }
        with torch.random.fork_rng(devices=[]):
            for number, task in enumerate(task for task in tasks.values() if task.has_temperature):
                task.state["temperature"] = 0.8 + 0.3 * number
            torch.manual_seed(0)
            encoder.grow_vocabulary(tokenizer.size)
            model = Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0)
            for weight in model.heads.parameters():
                torch.nn.init.normal_(weight, std=0.5)
            if encoder.word_shape_ids is not None:
                torch.nn.init.normal_(encoder.word_shape_ids.weight)  # zero without training
        folder = tmp_path_factory.mktemp("models") / "joint"
        folder.mkdir()
        save(model, folder, {})
        return folder

    return make


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """Texts as JSON lines: pairs, marked ranges, odd characters, nothing, and more than the model reads at once."""
    return [json.dumps(line) for line in LINES]


@pytest.fixture(scope="session")
def shaped_model(make_model: Callable[..., Path]) -> Path:
    """Its tasks have layers of their own; words' shapes are embedded."""
    return make_model(task_layers=1, word_shape=True)


@pytest.fixture(scope="session")
def graph(shaped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mtl.cli import main

    out = tmp_path_factory.mktemp("exported") / "graph"
    assert main(["export", "--model", str(shaped_model), "--to", "onnx", "--out", str(out)]) == 0
    return out
