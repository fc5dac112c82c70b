"""A search on the small project of the tests of training."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mtl.config import Params
from mtl.pipeline.search import Search
from training.conftest import _one_thread, project, settings

__all__ = ["_one_thread", "project"]


def searched(train: Mapping[str, Any] | None = None, **tune: Any) -> Params:
    """Settings of one short epoch with a section ``tune``."""
    space = {"train.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}, "augment.share": {"low": 0.0, "high": 1.0}}
    content = settings(**{"epochs": 1, "eval_every": 4, **(train or {})}).model_dump(mode="json")
    return Params.model_validate(content | {"tune": {"method": "random", "trials": 4, "space": space} | tune})


@pytest.fixture
def small() -> Params:
    return searched()


@pytest.fixture
def make_search(project: Path, tmp_path: Path) -> Callable[..., Search]:
    """Makes a search of its own in a folder of that name."""

    def make(params: Params, name: str = "search") -> Search:
        root = tmp_path / name
        if not root.exists():
            (root / "data" / "raw").mkdir(parents=True)
            shutil.copytree(project / "examples", root / "data" / "examples")
        return Search(params, root)

    return make
