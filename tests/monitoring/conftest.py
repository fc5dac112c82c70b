"""A model with random weights, its examples, and texts."""

from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from mtl.data import schema

WORDS = ["the", "quick", "brown", "fox", "over", "lazy", "dog", "we", "love", "wonderful", "film", "in", "Paris", "with", "friend"]


def texts(count: int, seed: int, words: list[str] | None = None) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choices(words or WORDS, k=random.randint(3, 12))) for _ in range(count)]


@pytest.fixture(scope="session")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mtl import encoders
    from mtl.config import TransformerEncoder
    from mtl.model.folder import save
    from mtl.model.model import Model
    from mtl.tasks.classification import Classification
    from mtl.tasks.regression import Regression
    from mtl.tasks.token_classification import TokenClassification

    settings = TransformerEncoder.model_validate({"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32})
    encoder, tokenizer = encoders.build(settings, tiny_bert, [])
    tasks = {
        "mood": Classification(Classification.fit(["bad", "good"])),
        "stars": Regression(Regression.fit([1.0, 5.0])),
        "names": TokenClassification(TokenClassification.fit([["B-person", "I-person"], ["B-place"]])),
    }
    folder = tmp_path_factory.mktemp("drift") / "joint"
    folder.mkdir()
    save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0), folder, {"tasks": {"mood": {"label": "mood"}}})
    return folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples of ``mood``; the train rows differ from the others."""
    folder = tmp_path_factory.mktemp("examples")
    rows = [("train", text) for text in texts(100, 0, ["boring", "!"])] + [("test", text) for text in texts(150, 1)]
    table = [
        {
            "id": str(i),
            "split": split,
            "tokens": text.split(),
            "space_after": [True] * (len(text.split()) - 1) + [False],
            "mood": "good",
            "parent_id": None,
            "augmenter": None,
        }
        for i, (split, text) in enumerate(rows)
    ]
    schema.write(pa.Table.from_pylist(table, schema=schema.schema({"mood": "class"})), folder / "reviews.parquet")
    return folder
