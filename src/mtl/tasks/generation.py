"""A text, such as a translation, a summary or a reply."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtl.config.base import Count
from mtl.config.tasks import WritingSettings
from mtl.lazy import lazy
from mtl.tasks.base import IGNORED, Label, Metric, Positions, Prediction, State, TaskType, TextRow, loss_scale
from mtl.tasks.views import Judge, Judged, Mark, cut, written
from mtl.words import plural

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from mtl import decoders
    from mtl.decoders import Decoder
    from mtl.tasks import heads, text_scores
    from mtl.tasks.base import Weighted, WordIds
else:
    np, torch, decoders, heads = lazy("numpy"), lazy("torch"), lazy("mtl.decoders"), lazy("mtl.tasks.heads")
    text_scores = lazy("mtl.tasks.text_scores")

ROUGE = ("rouge1", "rouge2", "rougeL")


class GenerationSettings(WritingSettings):
    """A text, written by a decoder on the encoder's states: cross-entropy of each subword after those before it."""

    implementation = "mtl.tasks.generation:Generation"
    label_types = ("text",)

    type: Literal["generation"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target probability that is spread over all subwords (Szegedy et al. 2016)."""
    beams: Annotated[int, Field(ge=1, le=64)] = 4
    """Texts that a beam search follows at once; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """The search divides log-probabilities by the number of subwords to this power: more favours longer texts."""
    no_repeat: Annotated[int, Field(ge=0, le=100)] = 0
    """No sequence of that many subwords occurs twice in a prediction; 0 for no such rule."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Above 0, texts are drawn at random instead of searched: logits are divided by it. A source text always gets the same one."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of texts that are drawn: only the most probable subwords, as many as have this probability together (Holtzman et al. 2020)."""
    validation_rows: Count = 200
    """Validation rows that are predicted at each validation, at most: always the same. The test split is predicted as a whole."""


class Generation(TaskType):
    """A text per row, trained by teacher forcing and written by greedy or beam search."""

    name = "generation"
    all_metrics = (
        Metric("bleu", high=100.0, title="BLEU"),
        Metric("chrf", high=100.0, title="chrF"),
        Metric("rouge1", hub="rouge", title="ROUGE-1"),
        Metric("rouge2", hub="rouge", title="ROUGE-2"),
        Metric("rougeL", hub="rouge", title="ROUGE-L"),
        Metric("distinct1", title="distinct-1"),
        Metric("distinct2", title="distinct-2"),
        Metric("length_ratio", high=math.inf, title="length ratio"),
    )
    measured = (Metric("perplexity", low=1.0, high=math.inf, higher_is_better=False),)
    hub_task = "text-generation"
    views = ()
    noun = "text"
    writes = True

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """How to learn and to search; ``fit_targets`` adds the scale of the loss."""
        keys = ("label_smoothing", "beams", "length_penalty", "no_repeat", "validation_rows")
        if settings is None:
            return {key: GenerationSettings.model_fields[key].default for key in keys}
        drawn = {"sampling": {"temperature": settings.temperature, "top_p": settings.top_p}} if settings.temperature else {}
        return {key: getattr(settings, key) for key in keys} | drawn

    def fit_targets(self, labels: Sequence[Label | None]) -> list[str]:
        """The scale of the loss, which is the entropy of the subwords, and how much of the targets is cut off."""
        counts, cut_rows, cut_subwords = Counter[int](), 0, 0
        longest = self.longest
        for label in labels:
            if label is not None:
                [ids] = self.vocabulary.encode([str(label)])
                counts.update(ids[:longest])
                counts[self.vocabulary.end] += len(ids) < longest
                cut_rows, cut_subwords = cut_rows + (len(ids) >= longest), cut_subwords + max(len(ids) - longest, 0)
        frequencies = {str(subword): counts[subword] for subword in range(self.vocabulary.size)}
        self.state["loss_scale"] = loss_scale(frequencies, self.state["label_smoothing"])
        if not cut_rows:
            return []
        return [f"decoder.max_length {longest} cuts target texts: {plural(cut_rows, 'train row')} (subwords lost: {cut_subwords})"]

    def use_decoder(self, decoder: Decoder) -> None:
        """Keep its vocabulary, its longest text, and what it begins with."""
        self.vocabulary, self.longest, self.begin_with = decoder.vocabulary, decoder.max_length, decoder.begin_with()

    def validated(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """Evenly spaced rows."""
        count = min(len(rows), self.state["validation_rows"])
        chosen: npt.NDArray[np.integer] = rows[np.arange(count) * len(rows) // max(count, 1)]
        return chosen

    def head(self, width: int, dropout: float) -> nn.Module:
        """What the decoder writes for this task is decided by what stands before the first subword."""
        search = decoders.Search(self.state["beams"], self.state["length_penalty"], self.state["no_repeat"])
        drawn = decoders.Sampling(**self.state["sampling"]) if "sampling" in self.state else None
        return heads.WritingHead(width, self.state["label_smoothing"], search, self.begin_with, drawn)

    def positions(self, batch: Positions) -> Tensor:
        """All: the decoder attends to the whole text."""
        return batch.real

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """Subwords and the end, int64 ``[rows, subwords]``, then ``IGNORED``. A target that is cut off has no end."""
        known = [row for row, label in enumerate(labels) if label is not None]
        texts = self._encoded(labels)
        result = torch.full((len(labels), max(map(len, texts), default=1)), IGNORED)
        for row, ids in zip(known, texts, strict=True):
            result[row, : len(ids)] = torch.tensor(ids)
        return result

    def _encoded(self, labels: Sequence[Label | None]) -> list[list[int]]:
        """Subwords and the end of the labels that are known."""
        texts = [str(label) for label in labels if label is not None]
        return [[*ids, self.vocabulary.end][: self.longest] for ids in self.vocabulary.encode(texts)]

    def target_lengths(self, labels: Sequence[Label | None]) -> npt.NDArray[np.int64]:
        """Those of ``targets``."""
        lengths = np.zeros(len(labels), dtype=np.int64)
        lengths[[label is not None for label in labels]] = [len(ids) for ids in self._encoded(labels)]
        return lengths

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets[:, 0].ne(IGNORED)

    def count(self, targets: Tensor) -> Tensor:
        """The number of target subwords."""
        return targets.ne(IGNORED).sum()

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy, which is what the head gives, over the entropy of the subwords; and the number of target subwords."""
        return logits.float().sum() / float(self.state["loss_scale"]), self.count(targets)

    def decode(self, logits: Tensor, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The best text of each row; its confidence is the geometric mean of the probabilities of its subwords."""
        means, ids = logits[:, 0].tolist(), logits[:, 1:].long().tolist()
        texts = self.vocabulary.decode([[subword for subword in row if subword >= 0] for row in ids])
        return [Prediction(text, math.exp(min(mean, 0.0))) for text, mean in zip(texts, means, strict=True)]

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """BLEU and chrF of the whole corpus, mean ROUGE, and what tells of repetition and length."""
        return {
            "bleu": text_scores.bleu(gold, prediction),
            "chrf": text_scores.chrf(gold, prediction),
            **text_scores.rouge(gold, prediction, ROUGE),
            "distinct1": text_scores.distinct(prediction, 1),
            "distinct2": text_scores.distinct(prediction, 2),
            "length_ratio": text_scores.length_ratio(gold, prediction),
        }

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"text", "score"}``."""
        return {"text": prediction.value, "score": prediction.confidence}

    def describe(self) -> str:
        """By which search. The card describes a task by its state, without the decoder."""
        if drawn := self.state.get("sampling"):
            return f"a text, drawn at temperature {drawn['temperature']:g} from the most probable {drawn['top_p']:.0%}"
        return "a text, by greedy search" if self.state["beams"] == 1 else f"a text, by beam search with {self.state['beams']} beams"

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One text against another, with what differs."""
        return _judged

    @staticmethod
    def wrong_rows(rows: int, wrong: int, listed: int) -> str:
        """The rows that are least like their target are listed."""
        return f"{wrong:,} of {rows:,} texts differ from their target; listed: the {listed} that differ most".replace(",", "\u202f")


def _judged(row: Mapping[str, Any]) -> Judged:
    gold, prediction = row["gold"].split(), row["prediction"].split()
    matcher = difflib.SequenceMatcher(None, gold, prediction, autojunk=False)
    marks = [Mark(mark.text, "field", mark.note or "source") for mark in written(row)]
    for change, a, b, c, d in matcher.get_opcodes():
        if change == "equal":
            marks.append(Mark(cut(" ".join(gold[a:b]))))
        else:
            sides = ((gold[a:b], "missed", "target"), (prediction[c:d], "spurious", "predicted"))
            marks += [Mark(cut(" ".join(words)), status, note) for words, status, note in sides if words]
    severity = 1 - matcher.ratio() if gold != prediction else 0.0
    return Judged(marks, row["gold"], row["prediction"], [], severity, f"{row['confidence']:.3f}", severity)
