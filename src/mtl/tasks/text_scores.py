"""Scores of texts as functions of row weights, from statistics of each row that are computed once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

Array = npt.NDArray[np.float64]
_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = regex.compile(rf"[{_ALONE}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_ALONE}]]+", regex.V1)
HIGHEST = 100.0
"""Mean negative log-probability that perplexity takes, at most, so that it is finite."""
Weighted = Callable[[Array], Array]


def bleu(gold: Sequence[str], prediction: Sequence[str]) -> Weighted:
    """BLEU in percent (Papineni et al. 2002; Post 2018), of all rows as one corpus: sacreBLEU's, with its default signature."""
    from sacrebleu.metrics.bleu import BLEU

    # Texts are scored as the data has them; that many end in a split full stop would be said at each validation.
    return _of_corpus(BLEU(force=True), gold, prediction)


def chrf(gold: Sequence[str], prediction: Sequence[str]) -> Weighted:
    """chrF2 in percent (Popović 2015), of all rows as one corpus: sacreBLEU's, with its default signature."""
    from sacrebleu.metrics.chrf import CHRF

    return _of_corpus(CHRF(), gold, prediction)


def _of_corpus(metric: Any, gold: Sequence[str], prediction: Sequence[str]) -> Weighted:
    """A metric of sacreBLEU from sums of its statistics, as its own paired bootstrap does."""
    statistics = np.array(metric._extract_corpus_statistics(list(prediction), [list(gold)]), dtype=np.float64)

    def score(sums: Array) -> float:
        return float(metric._compute_score_from_stats(sums.tolist()).score)

    return lambda weights: np.array([score(sums) for sums in weights @ statistics])


def rouge(gold: Sequence[str], prediction: Sequence[str], types: Sequence[str]) -> dict[str, Weighted]:
    """The mean F1 of shared n-grams or of the longest common subsequence (Lin 2004), by type such as ``rouge1`` or ``rougeL``."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(types), tokenizer=_Words())
    found = [scorer.score(expected, predicted) for expected, predicted in zip(gold, prediction, strict=True)]
    return {name: _mean_of(np.array([row[name].fmeasure for row in found])) for name in types}


class _Words:
    """Words of any script; the tokenizer of rouge-score drops all but ASCII."""

    def tokenize(self, text: str) -> list[str]:
        """See ``words``; without stemming."""
        return words(text)


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; each character of a script without spaces by itself."""
    return _WORD.findall(text.lower())  # type: ignore[no-any-return]


def perplexity(surprise: Array, subwords: Array) -> Weighted:
    """The exponential of the mean negative log-probability of a subword, given that of each row's subwords and their number, ``[rows]``."""
    return lambda weights: np.exp(np.minimum((weights @ surprise) / np.maximum(weights @ subwords, 1), HIGHEST))


def distinct(prediction: Sequence[str], size: int) -> Weighted:
    """The number of different n-grams over the number of all (Li et al. 2016, NAACL); low where a model repeats itself."""
    numbers: dict[tuple[str, ...], int] = {}
    rows, ids = [], []
    for row, text in enumerate(prediction):
        tokens = words(text)
        for gram in zip(*(tokens[i:] for i in range(size)), strict=False):
            rows.append(row)
            ids.append(numbers.setdefault(gram, len(numbers)))
    owner, gram_ids = np.array(rows, dtype=np.int64), np.array(ids, dtype=np.int64)

    def share(weights: Array) -> float:
        drawn = weights[owner]
        different = np.count_nonzero(np.bincount(gram_ids, weights=drawn, minlength=1))
        return float(different / max(drawn.sum(), 1.0))

    return lambda weights: np.array([share(own) for own in weights])


def length_ratio(gold: Sequence[str], prediction: Sequence[str]) -> Weighted:
    """The number of words of the predictions over that of the targets."""
    expected, predicted = (np.array([len(words(text)) for text in side], dtype=np.float64) for side in (gold, prediction))
    return lambda weights: (weights @ predicted) / np.maximum(weights @ expected, 1.0)


def _mean_of(values: Array) -> Weighted:
    return lambda weights: weights @ values / weights.sum(-1)
