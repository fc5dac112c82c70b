"""A model of all usual task types with random weights, behind a service."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving.process import Serving


@pytest.fixture(scope="session")
def make_model(tiny_bert: Path) -> Callable[[Path], Path]:
    """Writes a model folder; each call draws other weights."""

    def make(out: Path) -> Path:
        from mtl import encoders
        from mtl.config import TransformerEncoder
        from mtl.model.folder import save
        from mtl.model.model import Model
        from mtl.tasks.classification import Classification
        from mtl.tasks.multilabel_classification import MultilabelClassification
        from mtl.tasks.regression import Regression
        from mtl.tasks.relation_classification import RelationClassification
        from mtl.tasks.token_classification import TokenClassification

        settings = TransformerEncoder.model_validate({"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32})
        encoder, tokenizer = encoders.build(settings, tiny_bert, [])
        tokenizer.add_markers(RelationClassification.markers)
        encoder.grow_vocabulary(tokenizer.size)
        tasks = {
            "mood": Classification(Classification.fit(["bad", "good"])),
            "topics": MultilabelClassification(MultilabelClassification.fit([["film"], ["place", "film"]])),
            "stars": Regression(Regression.fit([1.0, 5.0])),
            "names": TokenClassification(TokenClassification.fit([["B-person", "I-person"], ["B-place"]])),
            "follows": Classification(Classification.fit(["yes", "no"]) | {"fields": ["premise", "hypothesis"], "field": 1}),
            "cause": RelationClassification(RelationClassification.fit([{"class": "Cause(e1,e2)"}, {"class": "Other"}])),
        }
        out.mkdir()
        save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0), out, {"tasks": {"names": {"label": "tags"}}})
        return out

    return make


@pytest.fixture(scope="session")
def folder(make_model: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; tests must not change it."""
    return make_model(tmp_path_factory.mktemp("served") / "joint")


@pytest.fixture(scope="session")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the shared service."""
    return tmp_path_factory.mktemp("corrections") / "rows.jsonl"


@pytest.fixture(scope="session")
def serving(folder: Path, corrections: Path) -> Iterator[Serving]:
    """A service that tests share."""
    env = {name: value for name, value in os.environ.items() if name != "MTL_TOKEN"}
    limits = ["--max-texts", "8", "--max-characters", "2000", "--max-body", "20000"]
    with Serving(folder, "--corrections", str(corrections), *limits, env=env) as started:
        yield started
