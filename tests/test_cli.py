"""The command line: what it prints, and that mistakes end with status 2 and all that is wrong."""

import argparse
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mtl.config
from mtl.cli import main, parser
from mtl.data.sources import fingerprint
from mtl.jobs import JOBS

CONTENT: dict[str, Any] = {
    "seed": 1,
    "datasets": {
        "mood": {
            "source": {"url": "mood.csv"},
            "reader": {"format": "csv"},
            "labels": {"mood": {"type": "class", "column": "mood"}},
            "split": {"train": 0.8, "test": 0.2},
        }
    },
    "tasks": {"mood": {"type": "classification", "label": "mood"}},
    "augment": {"methods": {"synonym": {"type": "synonym"}}},
    "encoder": {"type": "fnn"},
    "train": {},
    "experiment": {},
    "evaluate": {},
    "report": {},
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mood.csv").write_text("mood,text\ngood,a day\n")
    write(CONTENT)
    return tmp_path


def write(content: dict[str, Any]) -> None:
    Path("params.yaml").write_text("# mine\n" + json.dumps(content, indent=1))


def test_check_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    plan = capsys.readouterr().out
    for words in (
        "mood: mood (class); not prepared yet",
        "joint-augmented-1: mood",
        "2 shards per dataset, 2 jobs",
        "1 variant per row of mood",
        "Runs: 2",
    ):
        assert words in plan


def test_check_tells_every_issue_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    content = copy.deepcopy(CONTENT)
    content["train"] = {"lr": 1}
    content["tasks"]["mood"]["weight"] = 0
    content["datasets"]["mood"]["split"] = {"train": 0.5}
    write(content)
    assert main(["check"]) == 2
    errors = capsys.readouterr().err
    for key in ("params.yaml: 3 issues", "train.lr", "tasks.mood.weight", "datasets.mood.split"):
        assert key in errors


def test_check_looks_for_sources_and_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    content = copy.deepcopy(CONTENT)
    content["datasets"]["mood"]["source"]["url"] = "gone.csv"
    content["encoder"] = {"type": "transformer", "source": {"url": "models/none"}}
    write(content)
    assert main(["check", "--offline"]) == 2
    errors = capsys.readouterr().err
    assert "datasets.mood.source: " in errors
    assert "gone.csv" in errors
    assert "encoder.source: " in errors


def test_checksums_are_written_and_comments_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checksums", "--write"]) == 0
    assert "not stated" in capsys.readouterr().out
    assert Path("params.yaml").read_text().startswith("# mine\n")
    assert mtl.config.load(Path("params.yaml")).datasets["mood"].sources["all"].sha256 == fingerprint(Path("mood.csv"))
    assert main(["checksums"]) == 0
    assert "as stated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.yaml"], "none.yaml: 1 issue"),
        (["predict", "--model", "nowhere", "mood.csv"], "nowhere"),
        (["predict", "--model", "nowhere", "none.txt"], "none.txt: cannot be read"),
        (["synonyms", "build", "--encoder", "nowhere"], "nowhere: no such folder"),
        (["publish", "train", "--settings", "params.yaml"], "train_run/joint-augmented-1 reads prepare_dataset/mood, which is not built"),
        (["download_source", "--settings", "params.yaml", "--job", "x"], "download_source has no job 'x'; choose from: mood"),
    ],
)
def test_mistakes_end_with_status_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_confidence_is_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--model", "nowhere", "--min-confidence", "80"])
    assert "--min-confidence: 80 is not in 0..1" in capsys.readouterr().err


def test_a_missing_checksum_ends_the_download_with_the_actual_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download_source", "--settings", "params.yaml", "--job", "mood"]) == 2
    errors = capsys.readouterr().err
    assert "datasets.mood.source" in errors
    assert fingerprint(Path("mood.csv")) in errors


def test_every_command_and_option_says_what_it_is() -> None:
    assert parser().prog == "mtl"
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    for choice in commands._choices_actions:
        assert choice.help
    for name, command in commands.choices.items():
        undocumented = [action.dest for action in command._actions if not action.help and not action.choices]
        assert undocumented == [], name
    assert set(JOBS) <= set(commands.choices)


@pytest.mark.parametrize("command", [["mtl"], [sys.executable, "-m", "mtl"]])
def test_it_is_a_program_and_a_module(command: list[str]) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("usage: mtl ")


def test_a_package_that_is_missing_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'snakemake'", name="snakemake")

    monkeypatch.setattr("mtl.cli._check", check)
    assert main(["check"]) == 2
    assert 'snakemake is not installed; the extra has it: pip install "mtl[workflow]"' in capsys.readouterr().err


def test_a_message_sends_no_commands_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    write(CONTENT | {"\x1b]0;owned\x07": 1})
    assert main(["check"]) == 2
    assert "\\x1b]0;owned\\x07: unknown key" in capsys.readouterr().err


def test_runs_of_other_versions_are_listed_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("data/models/joint-plain-1")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"versions": {"torch": "1.0"}, "precision": "fp32"}))
    assert main(["check", "--versions"]) == 0
    assert "torch 1.0, transformers unknown: joint-plain-1\n" in capsys.readouterr().out
    assert main(["prune", "--other-versions"]) == 0
    assert capsys.readouterr().out == "deleted 1 run of other versions: joint-plain-1\n"


def test_verify_names_what_is_damaged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    Path("work/store/0").mkdir(parents=True)
    Path("work/store/0.json").write_text('{"model": "0"}')
    assert main(["verify"]) == 2
    assert capsys.readouterr().err.startswith("work/store/0/model: is missing or differs from its checksum\nsnakemake --cores all ")
