"""Mends Optuna's journal where lines are damaged: trials are numbered by the lines that create them, so none of these may be missing."""

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from mtl.files import write_bytes

STUDY, TRIAL, PARAM, STATE, ATTRIBUTE = 0, 4, 5, 6, 8
"""Optuna's codes of the operations that are looked at."""

Operation = dict[str, Any]
Planned = Sequence[Mapping[str, Any]]
"""The values of each trial, as far as they are known in advance, in Optuna's form."""


def mend(journal: Path, name: str, planned: Planned, axes: Collection[str]) -> list[int]:
    """Drop damaged lines, restore those that created the study or a trial, and let ended trials that lost a line run again.

    The file as it was is kept beside it with the ending ``.damaged``. A last line without an end is not looked at: a kill left it.

    Args:
        journal: the file.
        name: of the study.
        planned: what the trials are created with.
        axes: paths of the searched settings.

    Returns:
        The numbers of the damaged lines, from 1.
    """
    lines = journal.read_bytes().split(b"\n")[:-1]
    operations = [_parsed(line) for line in lines]
    damaged = [number for number, operation in enumerate(operations, 1) if operation is None]
    if damaged:
        shutil.copy2(journal, journal.with_name(f"{journal.name}.damaged"))
        whole = _with_created(operations, name, planned)
        unsound = {trial for trial in {op["trial_id"] for op in whole if "trial_id" in op} if not _is_sound(whole, trial, axes)}
        kept = [json.dumps(op, separators=(",", ":")) + "\n" for op in whole if op.get("trial_id") not in unsound]
        write_bytes(journal, "".join(kept).encode())
    return damaged


def _parsed(line: bytes) -> Operation | None:
    """An operation, or None if the line is damaged."""
    try:
        operation = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(operation, dict) or not isinstance(code := operation.get("op_code"), int):
        return None
    return operation if code <= TRIAL or isinstance(operation.get("trial_id"), int) else None


def _with_created(operations: Sequence[Operation | None], name: str, planned: Planned) -> list[Operation]:
    """The sound operations, and in the place of a damaged one what it created, if it did."""
    trials = 1 + max((operation.get("trial_id", -1) for operation in operations if operation), default=-1)
    whole: list[Operation] = []
    for place, operation in enumerate(operations):
        later = [other for other in operations[place + 1 :] if other] if operation is None else []
        number = sum(op["op_code"] == TRIAL for op in whole) if operation is None else 0
        if operation:
            whole.append(operation)
        elif place == 0:
            whole.append({"op_code": STUDY, "worker_id": "", "study_name": name, "directions": [StudyDirection.MAXIMIZE]})
        elif number < len(planned) and _created_trial(later, number, trials, planned):
            whole.append(_creation(planned[number]))
    return whole


def _created_trial(later: Sequence[Operation], number: int, trials: int, planned: Planned) -> bool:
    """Whether the damaged line before these operations created the trial of that number."""
    if later and later[0]["op_code"] == TRIAL:
        fixed = later[0].get("system_attrs", {}).get("fixed_params", {})
        return number + 1 < len(planned) and fixed == planned[number + 1]
    return number < trials and all(operation["op_code"] != TRIAL for operation in later)


def _creation(values: Mapping[str, Any]) -> Operation:
    empty: dict[str, Any] = {"distributions": {}, "params": {}, "user_attrs": {}, "intermediate_values": {}}
    state = {"datetime_start": None, "state": TrialState.WAITING, "value": None, "values": None}
    return {"op_code": TRIAL, "worker_id": "", "study_id": 0, **state, **empty, "system_attrs": {"fixed_params": dict(values)}}


def _is_sound(operations: Sequence[Operation], trial: int, axes: Collection[str]) -> bool:
    """Whether a trial has not ended, or has all its values."""
    own = [operation for operation in operations if operation.get("trial_id") == trial]
    if not any(op["op_code"] == STATE and TrialState(op["state"]).is_finished() for op in own):
        return True
    attributes: dict[str, Any] = {}
    for operation in own:
        attributes |= operation["user_attr"] if operation["op_code"] == ATTRIBUTE else {}
    params = {op["param_name"] for op in own if op["op_code"] == PARAM}
    needed = {"values", "state", "seconds"} | ({"score", "tasks"} if attributes.get("state") == "complete" else set())
    return needed <= attributes.keys() and params in (set(), set(axes))
