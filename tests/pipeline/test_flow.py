"""What a start of Snakemake looks at."""

import json
from pathlib import Path

import pytest

from mtl.pipeline.flow import Flow
from mtl.pipeline.stages import STAGES
from mtl.pipeline.state import State
from pipeline.test_state import CONTENT, build_all, params


def test_a_start_with_nothing_to_do_looks_once_at_what_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(CONTENT))
    Path("dvc.yaml").touch()
    Path(".dvc").mkdir()
    build_all(Path(), params())
    first = Flow(params(), overridden=False, main=True)
    Path("work/handed_over.json").write_text(first._stamp(list(STAGES)))  # as after ``dvc commit``
    assert first._lock is not None
    first._lock.release()

    looks = []
    sync = State.sync
    monkeypatch.setattr(State, "sync", lambda self, stage=None: looks.append(stage) or sync(self, stage))  # type: ignore[func-returns-value]
    flow = Flow(params(), overridden=False, main=True)
    assert flow.settle() == ""
    assert looks == [None]
    Path("params.yaml").write_text(json.dumps(CONTENT) + "\n")
    assert flow._stamp(list(STAGES)) != Path("work/handed_over.json").read_text()
