"""Whether bfloat16 trains faster than float32 on this CPU: measured once on a machine for each size of layers."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from mtl.encoders.products import bf16_products, capabilities, fast_float32, has_bf16_units
from mtl.files import write_json

PAYS = 1.3
"""The speed, relative to float32, from which bfloat16 is used."""
ROWS, POSITIONS, LAYERS, TURNS = 24, 32, 2, 10


def bf16_speed(encoder: Path) -> float:
    """The speed of training steps in bfloat16, as a multiple of that in float32; 0 where the CPU has no instructions for it.

    Measured on a BERT of two layers of the encoder's size with random weights. The result is kept in the user's cache folder: runs that
    are repeated or go on must not depend on what else the machine did at that moment.

    Args:
        encoder: folder with ``config.json``.

    Raises:
        EncoderError: it is not the folder of an encoder.
    """
    if not has_bf16_units():
        return 0.0
    from mtl.encoders.transformer import read_config  # transformers is slow to import, and most CPUs need not

    config = read_config(encoder)
    width, heads = int(config.hidden_size), int(getattr(config, "num_attention_heads", 1))
    # Heads of T5 may be of a width of their own, and some models have none: what attention takes decides little.
    size = (width, heads if width % heads == 0 else 1, int(getattr(config, "intermediate_size", 4 * width)))
    about = [capabilities().get("cpu_name"), version("torch"), torch.get_num_threads(), *size]
    path = cache_folder() / f"bf16-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # of runs that start together, the first measures for all
            if (found := _read(path)) is None:
                found = measure(*size)
                write_json(path, {"about": about, "speed": found})
            return found
    return measure(*size)  # there is no place to keep it


def cache_folder() -> Path:
    """Where what was measured on this machine is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mtl")


def _read(path: Path) -> float | None:
    """What was measured before; ``None`` if nothing was, or the file is damaged."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["speed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure(width: int, heads: int, inner: int) -> float:
    """Time training steps of layers of this size in both formats, in turns; the fastest of each count.

    CPU time is taken, which other processes disturb less.
    """
    from transformers import AutoConfig, AutoModel

    from mtl.encoders.transformer import TransformerEncoder

    auto: Any = AutoModel  # transformers leaves this method untyped
    config = AutoConfig.for_model(
        "bert", hidden_size=width, num_attention_heads=heads, intermediate_size=inner, num_hidden_layers=LAYERS, vocab_size=256,
        max_position_embeddings=POSITIONS, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), fast_float32():
        encoder = TransformerEncoder(auto.from_config(config), word_shape=False).train()
        optimizer = torch.optim.AdamW(encoder.parameters(), fused=True)
        mask = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
        subwords = torch.randint(256, mask.shape)

        def seconds(rounded: bool) -> float:
            start = time.process_time()
            with bf16_products() if rounded else nullcontext():
                loss = encoder(subwords, mask, torch.zeros_like(subwords)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return time.process_time() - start

        turns: Sequence[tuple[float, float]] = [(seconds(False), seconds(True)) for _ in range(TURNS)][1:]
    plain, rounded = (min(times) for times in zip(*turns, strict=True))
    return float(plain / rounded)
