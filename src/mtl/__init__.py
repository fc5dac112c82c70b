"""Multi-task text models from one ``params.yaml``: data, augmentation, joint training, evidence.

``mtl.load`` gives a trained model. It and the classes beside it are imported when they are first used, so that ``import mtl`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl.api import TaskInfo, TrainedModel, load

__version__ = "0.1.0"

__all__ = ["TaskInfo", "TrainedModel", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mtl.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
