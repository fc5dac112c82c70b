"""Folders of models in Hugging Face form, from outside: what must hold before a library reads one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST_LAYERS = 1000
"""A configuration with more would build layers until the memory is full."""
_CODE = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
"""Keys of a configuration that can name a kernel on the hub, which is compiled code."""
_WIDTHS = ("_size", "width", "vocabulary")
"""Ends of the names of keys that say how wide a layer is."""


def check(folder: Path) -> None:
    """Check that the files of a folder lead neither out of it nor to pickles or code.

    Raises:
        ValueError: one does; the message names the file.
    """
    if (folder / "adapter_config.json").exists():
        raise ValueError("adapter_config.json: adapters are not read; merge the adapter into the weights")
    for path in sorted(folder.glob("*.safetensors.index.json")):
        _check_index(path)
    if (folder / "config.json").is_file():
        config = _mapping(folder / "config.json")
        _check_weights(config)
        check_config(config)


def _check_index(path: Path) -> None:
    """Weights in several files: which file holds which."""
    names = _mapping(path).get("weight_map")
    if not isinstance(names, Mapping):
        raise ValueError(f"{path.name}: has no weight_map")
    for name in names.values():
        if not _is_weights(name, ".safetensors"):
            raise ValueError(f"{path.name}: names {str(name)[:80]!r}; weights must be *.safetensors files in the same folder")


def _check_weights(config: Mapping[str, Any]) -> None:
    weights = config.get("transformers_weights")
    if weights is not None and not _is_weights(weights, ".safetensors", ".safetensors.index.json"):
        raise ValueError(
            f"config.json: transformers_weights is {str(weights)[:80]!r}; weights must be *.safetensors files in the same folder"
        )


def check_config(config: Mapping[str, Any], weights: Path | None = None) -> None:
    """Check that a model can be built by its configuration.

    Args:
        config: of the model.
        weights: the file of all its weights; no layer can be wider than it is long.

    Raises:
        ValueError: it names code, too many layers, or too wide ones.
    """
    widest = weights.stat().st_size if weights else None
    for key, value in _entries(config):
        if key in _CODE and any(mark in str(value) for mark in "/:|"):
            raise ValueError(f"config.json: {key} is {str(value)[:80]!r}, which names code of the hub; remove the key")
        if "layers" in key and isinstance(value, int) and value > MOST_LAYERS:
            raise ValueError(f"config.json: {key} is {value}, more than {MOST_LAYERS}")
        if widest is not None and key.endswith(_WIDTHS) and isinstance(value, int) and value > widest:
            raise ValueError(f"config.json: {key} is {value}, more than the weights hold")


def _is_weights(name: Any, *suffixes: str) -> bool:
    return isinstance(name, str) and name.endswith(suffixes) and not {"/", "\\", "\0"} & set(name)


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: cannot be used: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: cannot be used: it is not a JSON object")
    return content


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, also of nested objects."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
