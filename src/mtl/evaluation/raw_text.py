"""Predictions of token-level tasks on the raw texts of rows, as labels of characters: what a user gets who has no tokens.

Where the segmentation of new texts reproduces the tokens of a row, its prediction is that on the tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mtl.data.segmentation import segment
from mtl.model.batch import Pair, TokenRow, words_of
from mtl.model.prediction import Predictor
from mtl.tasks.base import Label, Prediction, TaskType, to_text


class OnRawText(NamedTuple):
    """A row's label and prediction, both of the characters of its raw text, in the form of ``to_text``."""

    raw_gold: str
    raw_prediction: str


def on_raw_text(
    predictor: Predictor,
    task: str,
    rows: Sequence[TokenRow],
    texts: Sequence[Sequence[str]],
    gold: Sequence[Label],
    predictions: Sequence[Prediction],
) -> list[OnRawText]:
    """A label and a prediction of characters for each row.

    Args:
        predictor: has the task.
        task: a token-level one.
        rows: tokens of each row.
        texts: the raw text of each of its text fields.
        gold: labels of the tokens.
        predictions: of the task on the tokens.
    """
    type_ = predictor.model.tasks[task]
    split = [_split(text, type_) for text in texts]
    given, made = ([words_of(row, type_.field) for row in side] for side in (rows, split))
    unlike = [i for i in range(len(rows)) if given[i] != made[i]]
    own = dict(zip(unlike, predictor.predict([split[i] for i in unlike], [task])[task], strict=True)) if unlike else {}
    return [
        OnRawText(to_text(type_.of_characters(gold[i], given[i])), to_text(type_.of_characters(own.get(i, predictions[i]).value, made[i])))
        for i in range(len(rows))
    ]


def _split(texts: Sequence[str], task: TaskType) -> TokenRow:
    """The tokens of raw texts as the task takes them."""
    tokens = [segment(text, task.segmentation).tokens for text in texts]
    return tokens[0] if len(tokens) == 1 else Pair(*tokens)
