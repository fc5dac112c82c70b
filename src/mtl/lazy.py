"""Heavy modules that are imported when they are first used, so that reading settings costs no import of torch or pyarrow."""

from importlib import import_module
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def lazy(name: str) -> Any:
    """A stand-in for the module ``name``.

    Use it beside a plain import for type checkers::

        if TYPE_CHECKING:
            import torch
        else:
            torch = lazy("torch")
    """
    return _Lazy(name)
