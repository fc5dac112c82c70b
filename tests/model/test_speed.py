"""Whether bfloat16 pays is measured once on a machine, and not where it cannot."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mtl.errors import EncoderError
from mtl.model import speed
from mtl.model.device import choose_precision

CPU = torch.device("cpu")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int, int]]:
    """A CPU that has the instructions, and an empty cache; notes what is measured, and finds 1.5."""
    seen: list[tuple[int, int, int]] = []

    def measure(*size: int) -> float:
        seen.append(size)  # type: ignore[arg-type]
        return 1.5

    monkeypatch.setattr(speed, "has_bf16_units", lambda: True)
    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return seen


def test_it_is_measured_once_for_each_size(measured: list[tuple[int, int, int]], tiny_bert: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_bert, tmp_path / "other"))
    settings = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps(settings | {"intermediate_size": 123}), encoding="utf-8")
    assert [speed.bf16_speed(folder) for folder in (tiny_bert, other, tiny_bert, other)] == [1.5] * 4
    assert [inner for _, _, inner in measured] == [settings["intermediate_size"], 123]
    (path, *_) = speed.cache_folder().glob("*.json")
    path.write_text("{", encoding="utf-8")
    assert [speed.bf16_speed(folder) for folder in (tiny_bert, other)] == [1.5] * 2
    assert len(measured) == 3


def test_a_width_that_its_heads_do_not_divide_is_measured_too(measured: list[tuple[int, int, int]], tmp_path: Path) -> None:
    config = {"model_type": "t5", "d_model": 32, "num_heads": 6, "d_kv": 8, "d_ff": 64}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert speed.bf16_speed(tmp_path) == 1.5
    assert measured == [(32, 1, 128)]


def test_a_result_that_cannot_be_kept_is_used(
    measured: list[tuple[int, int, int]], tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert speed.bf16_speed(tiny_bert) == 1.5
    assert len(measured) == 1


@pytest.mark.parametrize(("found", "name"), [(speed.PAYS, "bf16"), (speed.PAYS - 0.01, "fp32")])
def test_auto_takes_it_where_it_pays(
    found: float, name: str, measured: list[tuple[int, int, int]], tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "measure", lambda *size: found)
    chosen = choose_precision("auto", CPU, tiny_bert)
    assert (chosen.name, chosen.reason) == (name, f"bf16 trains {found:.2f} times as fast as fp32 on this CPU")
    assert choose_precision("fp32", CPU, tiny_bert).name == choose_precision("auto", CPU).name == "fp32"


def test_a_cpu_without_the_instructions_is_not_measured(
    measured: list[tuple[int, int, int]], tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "has_bf16_units", lambda: False)
    assert choose_precision("auto", CPU, tiny_bert).name == "fp32"
    assert measured == []


def test_a_folder_that_is_no_encoder_is_an_error(measured: list[tuple[int, int, int]], tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"config\.json is missing"):
        speed.bf16_speed(tmp_path)


def test_steps_are_timed_and_random_numbers_stay() -> None:
    state = torch.get_rng_state()
    assert 0.05 < speed.measure(16, 2, 32) < 20
    assert torch.equal(torch.get_rng_state(), state)
