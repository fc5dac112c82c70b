"""Dialogues become rows of turns, through the real preparation."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mtl.config import DialogueReader, Params, parse
from mtl.data import schema
from mtl.data.prepare import prepare
from mtl.data.readers import Malformed, Row, dialogues

TURNS = ["Hello !", " How  are you ? ", "Fine .", "And you ?", "Good ."]


def reader(**changes: Any) -> DialogueReader:
    return DialogueReader.model_validate({"format": "dialogues", "reader": {"format": "jsonl"}, "labels": ["act"], "history": 2, **changes})


def rows(values: dict[str, Any], **changes: Any) -> list[Row | Malformed]:
    return list(dialogues.rows_of_turns([Row(7, values)], reader(**changes)))


def test_each_turn_has_its_history_reply_and_labels() -> None:
    found = rows({"turns": TURNS, "act": [1, 2, 3, None, 5]})
    assert [row.line for row in found] == [1, 2, 3, 4, 5]
    columns = [row.values for row in found if isinstance(row, Row)]
    assert columns[0] == {
        "dialogue": "7",
        "history": "",
        "utterance": "Hello !",
        "text": "A: Hello !",
        "reply": "How are you ?",
        "act": 1,
    }
    assert columns[3]["text"] == "B: How are you ? A: Fine . B: And you ?"
    assert columns[3]["history"] == "B: How are you ? A: Fine ."
    assert columns[4]["reply"] is None
    assert [row["act"] for row in columns] == [1, 2, 3, None, 5]


def test_speakers_get_letters_in_the_order_in_which_they_speak() -> None:
    turns = [{"speaker": name, "text": "Hi ."} for name in ("Eve", "Bob", "Bob", "Ann")]
    [*_, last] = rows({"turns": turns}, labels=[], history=9)
    assert last.values["text"] == "A: Hi . B: Hi . B: Hi . C: Hi ."  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"turns": TURNS, "act": [1, 2]}, "act: 2 labels for 5 turns"),
        ({"turns": TURNS, "act": 3}, "act: 0 labels for 5 turns"),
        ({"turns": ["Hi", " "], "act": [1, 2]}, "turns: turn 1 is not a text: ' '"),
        ({"turns": [None], "act": [1]}, "turns: turn 0 is not a text: 'None'"),
        ({"turns": "Hi"}, "turns: must be a list of turns, not 'Hi'; name the separator of turns that are one text"),
        ({}, "turns: must be a list of turns, not 'None'; name the separator of turns that are one text"),
    ],
)
def test_a_dialogue_that_cannot_be_told_is_malformed(values: dict[str, Any], reason: str) -> None:
    [found] = rows(values)
    assert found == Malformed(7, reason, str(values.get("turns")))


def test_names_of_its_own_columns_are_refused() -> None:
    with pytest.raises(ValidationError, match="label 'reply' has the name of a column"):
        reader(labels=["reply"])


def settings(folder: Path) -> Params:
    files = {"turns": "dialogues.txt.gz", "act": "acts.txt"}
    own = {"format": "dialogues", "reader": {"format": "parallel", "files": files}, "separator": "__eou__", "labels": ["act"]}
    labels = {
        "act": {"type": "class", "column": "act", "values": {"1": "inform", "2": "question"}},
        "reply": {"type": "text", "column": "reply"},
    }
    split = {"train": 0.8, "test": 0.2, "group_by": "dialogue"}
    dataset = {"source": {"url": str(folder)}, "reader": own, "labels": labels, "split": split, "max_malformed": 0.5}
    tasks = {"act": {"type": "classification", "label": "act"}, "reply": {"type": "generation", "label": "reply"}}
    return parse({"seed": 1, "datasets": {"talk": dataset}, "tasks": tasks, "encoder": {"type": "cnn"}})


def test_a_folder_of_dialogues_is_prepared_with_whole_dialogues_in_each_split(tmp_path: Path) -> None:
    source, out = tmp_path / "raw" / "all", tmp_path / "out"
    source.mkdir(parents=True)
    out.mkdir()
    lines = [f"Is it {number} ? __eou__ It is {number} . __eou__ Thanks for {number} . __eou__\n" for number in range(40)]
    (source / "dialogues.txt.gz").write_bytes(gzip.compress("".join(lines).encode()))
    (source / "acts.txt").write_text("2 1\n" + "2 1 1 \n" * 39)
    prepare(settings(source), "talk", source.parent, out)
    found = schema.read(out / "talk.parquet").to_pylist()
    assert len(found) == 39 * 3
    assert "act: 2 labels for 3 turns" in (out / "talk.json").read_text()
    by_text = {" ".join(row["tokens"]): row for row in found}
    second, last = by_text["A: Is it 5 ? B: It is 5 ."], by_text["A: Is it 5 ? B: It is 5 . A: Thanks for 5 ."]
    assert (second["act"], second["reply"], last["reply"]) == ("inform", "Thanks for 5 .", None)
    splits: dict[str, set[str]] = {}
    for row in found:
        splits.setdefault(next(token for token in row["tokens"] if token.isdigit()), set()).add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
