"""Going on from a checkpoint: only from one of this very run."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mtl.config import Params, Run
from mtl.files import checksum
from mtl.model.folder import WEIGHTS
from mtl.training import checkpoint
from mtl.training.loop import Loop

LAYOUT = 4
"""Of a checkpoint's content; raised when the content changes, so that older checkpoints are passed over."""
VERSIONS = ("mtl", "numpy", "safetensors", "tokenizers", "torch", "torchjd", "transformers")


def identity(params: Params, run: Run, loop: Loop, start: Path | None = None) -> str:
    """Fingerprint of all that must be equal for a checkpoint to be this run's own: settings, data, the model folder that it starts from,
    and the code that draws numbers."""
    plan, precision = loop.feed.plan, loop.precision
    content: dict[str, Any] = {
        "layout": LAYOUT,
        "start": None if start is None else checksum(start / WEIGHTS),
        "run": run.model_dump(),
        "tasks": {name: task.model_dump() for name, task in params.tasks.items()},
        "encoder": params.encoder.model_dump(),
        "train": params.train.model_dump(),
        "share": params.augment.share,
        "precision": [precision.name, precision.device.type],
        "optimizer": [[group["part"], len(group["params"])] for group in loop.optimizer.param_groups],
        "ids": _ids(loop),
        # The plan depends on the labels of all tasks, also on those that are not the run's.
        "plan": [plan.steps, plan.epoch_steps, hashlib.sha256(plan.groups.tobytes()).hexdigest()],
        "unlabelled": _unlabelled(loop),
        "data": _data(loop),
        "versions": {name: version(name) for name in VERSIONS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _ids(loop: Loop) -> str:
    """Checksum of the ids of the train rows."""
    ids = hashlib.sha256()
    for part in loop.feed.data.ids.parts():
        ids.update("\n".join([*part, ""]).encode())
    return ids.hexdigest()


def _unlabelled(loop: Loop) -> list[str]:
    """Checksums of what tells the rows without labels, if the run learns from such."""
    if loop.feed.data.unlabelled is None:
        return []
    own = loop.feed.data.unlabelled
    return [hashlib.sha256(mask.tobytes()).hexdigest() for mask in (own.planned, *own.rows.values())]


def _data(loop: Loop) -> str:
    """Checksum of encoded rows and labels."""
    data = hashlib.sha256(loop.model.encoder.kept.tobytes())
    for corpus in (loop.feed.data.train, loop.feed.data.validation):
        data.update(corpus.encoded.digest().encode())
        for labels in corpus.labels.values():
            data.update(labels.digest())
    return data.hexdigest()


def resume(loop: Loop, folder: Path, identity: str) -> list[str]:
    """Go on from the newest usable checkpoint, if there is one; returns a warning for each one that was passed over."""
    state, warnings = loop.processes.from_first(lambda: checkpoint.read(folder, identity))
    if state is not None:
        loop.load_state_dict(state)
    return warnings
