"""Whether new texts differ from those of training: two-sample tests on what a model makes of them.

Each task has three tests:

- **embeddings**: maximum mean discrepancy of the pooled hidden states, with a Gaussian kernel whose width is the median distance (Gretton
  et al. 2012, "A kernel two-sample test", JMLR).
- **predictions**: of classes and entities, how often each is predicted in a text (chi-square statistic); of numbers, and of the confidence
  of what is neither, the Kolmogorov-Smirnov test.
- **unknown subwords**: the mean share of unknown subwords in a text.

P-values come from random permutations of the texts, so they hold for any number of texts and for several counts of one text; only those of
Kolmogorov-Smirnov are computed by scipy. Holm's correction (1979) keeps the chance of any false alarm at the level.

Compare with texts that the model did not learn from: it treats those of training differently, which a test takes for drift.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats
from scipy.spatial.distance import cdist

from mtl.data import schema
from mtl.encoders import Encoded
from mtl.errors import DataError
from mtl.model.batch import encode_rows
from mtl.model.folder import read_config
from mtl.model.prediction import Predictor
from mtl.predict import Fields, decoded, fields_of, read_lines, token_row
from mtl.seeds import seed_of
from mtl.tasks.base import Prediction, TaskType

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
LEAST_TEXTS = 20
"""Texts of each side that a test needs."""
PERMUTATIONS = 999
"""At least; more where the correction for several tests needs smaller p-values."""
UNSEEN_SPLITS = ("validation", "test")
"""Splits of the examples that no model learns from."""
STRANGEST = 10
"""New texts that the results quote."""


class Sample(NamedTuple):
    """What a model makes of texts for one task; arrays and lists have one item a text."""

    texts: Sequence[str]
    embeddings: npt.NDArray[np.float32]
    """``[texts, width]``."""
    predictions: Sequence[Prediction]
    unknown: Array
    """Share of unknown subwords, ``[texts]``."""

    def take(self, rows: npt.NDArray[np.integer]) -> "Sample":
        """Some of the texts."""
        kept = rows.tolist()
        return Sample([self.texts[i] for i in kept], self.embeddings[rows], [self.predictions[i] for i in kept], self.unknown[rows])


class Comparison(NamedTuple):
    """One comparison of new texts with the reference."""

    task: str
    test: str
    """``embeddings``, ``predictions`` or ``unknown subwords``."""
    method: str
    statistic: float
    p: float
    reference: Mapping[str, float]
    """What was compared: the mean by class, or quartiles of a number."""
    new: Mapping[str, float]


# --- texts ------------------------------------------------------------------------------------------------------------


def read_texts(path: Path, tasks: Mapping[str, TaskType]) -> list[Fields]:
    """The text fields of a file with text lines or JSON lines.

    Raises:
        DataError: the file cannot be read, or a line lacks the fields of each task; names the line.
    """
    try:
        with path.open("rb") as lines:
            return [line.fields for line in chain.from_iterable(read_lines(decoded(lines, str(path)), tasks))]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def unseen_texts(examples: Path, spec: Mapping[str, Any], task: TaskType) -> list[Fields]:
    """The validation and test texts of the datasets of a task; from raw text, as new ones are.

    Args:
        examples: folder of the canonical tables.
        spec: of the task in the model's ``config.json``.
        task: the task.

    Raises:
        DataError: no canonical table in the folder has the label and such rows.
    """
    rows = [row for path in schema.tables_of(examples, spec) for row in _rows(path)]
    fields = [fields_of(row, {"task": task}) for row in rows if row.keys() >= set(task.fields)]
    if not fields:
        label = spec.get("label", "")
        raise DataError(
            f"{examples}: holds no validation or test rows with the label {label!r}; name texts to compare with: --reference FILE"
        )
    return fields


def _rows(path: Path) -> Iterable[dict[str, str]]:
    table = schema.read(path)
    kept = table.filter(pc.is_in(table.column("split"), value_set=pa.array(UNSEEN_SPLITS)))
    columns = {field: [kept.column(name).to_pylist() for name in schema.columns_of(field)] for field in schema.fields_of(table.schema)}
    for number in range(kept.num_rows):
        yield {field: schema.text_of(*(column[number] for column in pair)) for field, pair in columns.items()}


def sampled(rows: Sequence[Fields], most: int, name: str) -> list[Fields]:
    """At most so many rows, by a generator that the name seeds."""
    if len(rows) <= most:
        return list(rows)
    kept = np.random.default_rng(seed_of("drift", most, name)).choice(len(rows), most, replace=False)
    return [rows[i] for i in np.sort(kept).tolist()]


def sample_of(predictor: Predictor, name: str, rows: Sequence[Fields]) -> Sample:
    """What a model makes of the rows that have all that a task reads."""
    task = predictor.model.tasks[name]
    usable = [row for row in rows if _is_usable(row, task)]
    tokens = [token_row(row, task) for row in usable]
    texts = [" / ".join(row[field][task.segmentation].text for field in task.fields) for row in usable]
    unknown = _unknown(encode_rows(predictor.model.tokenizer, tokens, predictor.model.max_length, windows=False), predictor)
    return Sample(texts, predictor.embed(tokens, name), predictor.predict(tokens, [name])[name], unknown)


def _unknown(encoded: Encoded, predictor: Predictor) -> Array:
    """Share of unknown subwords of each row."""
    if not len(encoded):
        return np.zeros(0)
    unknown = (encoded.subwords == predictor.model.tokenizer.unknown).astype(np.float64)
    shares: Array = np.add.reduceat(unknown, encoded.offsets[:-1]) / encoded.lengths
    return shares


def _is_usable(row: Fields, task: TaskType) -> bool:
    if not all(field in row and row[field][task.segmentation].tokens for field in task.fields):
        return False
    return row[task.fields[task.field]][task.segmentation].markers.keys() >= set(task.markers)


# --- tests ------------------------------------------------------------------------------------------------------------


def compare_task(name: str, task: TaskType, reference: Sample, new: Sample, permutations: int) -> list[Comparison]:
    """The three tests of a task. Same samples, same p-values.

    Args:
        name: of the task.
        task: its type.
        reference: texts that the model did not learn from.
        new: texts to compare with them.
        permutations: number of random permutations.
    """
    is_new = np.arange(len(reference.texts) + len(new.texts)) >= len(reference.texts)
    rng = np.random.default_rng(seed_of("drift", permutations, name))
    masks = np.concatenate([is_new[None], rng.permuted(np.tile(is_new, (permutations, 1)), axis=1)])
    embeddings = discrepancy(np.concatenate([reference.embeddings, new.embeddings]), masks)
    unknown = np.concatenate([reference.unknown, new.unknown])
    return [
        Comparison(name, "embeddings", "maximum mean discrepancy", *_permuted(embeddings), {}, {}),
        _predicted(name, task, [*reference.predictions, *new.predictions], masks),
        Comparison(
            name,
            "unknown subwords",
            "difference of means",
            *_permuted(chi_square(unknown[:, None], masks)),
            *_means(["share"], unknown[:, None], is_new),
        ),
    ]


def _predicted(name: str, task: TaskType, predictions: Sequence[Prediction], masks: Mask) -> Comparison:
    """The test of the predictions: by class where there are classes, else of the number or of the confidence."""
    texts, is_new = [prediction.text for prediction in predictions], masks[0]
    classes, counts = task.class_counts(texts, texts)
    if classes:
        per_text = counts[:, len(classes) : 2 * len(classes)]
        return Comparison(name, "predictions", "chi-square", *_permuted(chi_square(per_text, masks)), *_means(classes, per_text, is_new))
    numbers = np.array([p.value if isinstance(p.value, float) else p.confidence for p in predictions])
    result = stats.ks_2samp(numbers[~is_new], numbers[is_new])
    quartiles = [
        dict(zip(("25 %", "50 %", "75 %"), np.quantile(numbers[side], (0.25, 0.5, 0.75)).tolist(), strict=True))
        for side in (~is_new, is_new)
    ]
    return Comparison(name, "predictions", "Kolmogorov-Smirnov", float(result.statistic), float(result.pvalue), *quartiles)


def _means(names: Sequence[str], values: Array, is_new: Mask) -> tuple[dict[str, float], dict[str, float]]:
    reference, new = (dict(zip(names, values[side].mean(0).tolist(), strict=True)) for side in (~is_new, is_new))
    return reference, new


def _permuted(statistics: Array) -> tuple[float, float]:
    """A statistic and its p-value, from those of the samples (first) and of the permutations (Phipson & Smyth 2010)."""
    actual = float(statistics[0])
    return actual, float(np.mean(statistics >= actual - 1e-9 * abs(actual)))


def kernel(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Gaussian kernel ``[rows, rows]`` of vectors ``[rows, width]``; its width is their median distance."""
    squares = cdist(vectors, vectors, "sqeuclidean")
    width = float(np.median(squares[np.triu_indices(len(squares), 1)])) or 1.0
    result: npt.NDArray[np.float32] = np.exp(-squares / width).astype(np.float32)
    return result


def discrepancy(vectors: npt.NDArray[np.float32], masks: Mask) -> Array:
    """The unbiased estimate of the squared maximum mean discrepancy of the rows in and outside each mask.

    Args:
        vectors: ``[rows, width]``.
        masks: ``[n, rows]``, all with the same number of rows.

    Returns:
        ``[n]``.
    """
    similarity = kernel(vectors)
    np.fill_diagonal(similarity, 0)  # a text beside itself says nothing
    inside = masks.astype(np.float32)
    within = np.einsum("nr,nr->n", inside @ similarity, inside, dtype=np.float64)
    rows = inside @ similarity.sum(1, dtype=np.float64)
    total, new = float(similarity.sum(dtype=np.float64)), int(masks[0].sum())
    old = masks.shape[1] - new
    between = rows - within
    outside = total - within - 2 * between
    result: Array = within / (new * (new - 1)) + outside / (old * (old - 1)) - 2 * between / (new * old)
    return result


def chi_square(values: Array, masks: Mask) -> Array:
    """The chi-square statistic of what is counted in and outside each mask, against equal means per row.

    Args:
        values: ``[rows, classes]``, not negative.
        masks: ``[n, rows]``, all with the same number of rows.

    Returns:
        ``[n]``.
    """
    totals, share = values.sum(0), masks[0].mean()
    squares = (masks.astype(np.float64) @ values - totals * share) ** 2
    result: Array = (squares / np.where(totals > 0, totals * share * (1 - share), 1)).sum(1)
    return result


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): the least times n, the next times n - 1, and so on, never falling."""
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(np.array(p_values)[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(raised, 1.0)
    return corrected.tolist()


def permutations_for(count: int, level: float) -> int:
    """How many permutations let the smallest p-value of so many tests, corrected, fall to half of the level."""
    return max(PERMUTATIONS, math.ceil(2 * count / level))


# --- all tasks --------------------------------------------------------------------------------------------------------


def drift(
    model: Path,
    file: Path,
    reference: Path,
    *,
    tasks: Sequence[str] | None = None,
    level: float = 0.01,
    most: int = 1000,
) -> dict[str, Any]:
    """Compare the texts of a file with those of a reference.

    Args:
        model: folder of a trained model.
        file: text lines or JSON lines.
        reference: likewise, or a folder of canonical tables, whose validation and test rows count.
        tasks: names of the tasks; all by default.
        level: chance of a false alarm, over all tests.
        most: texts of each side that are compared, at most; more are sampled.

    Returns:
        A JSON-able dict: ``drift``, ``level``, ``permutations``, ``tests`` (a list of ``Comparison`` as dicts, with ``corrected_p`` and
        ``drift``), ``texts`` (of both sides by task), ``skipped`` (tasks with too few texts) and ``strangest`` (by task the new texts that
        are least like the reference).

    Raises:
        ModelError: the folder is not a model, or it has no such task.
        DataError: a file cannot be read, or no task has enough texts.
    """
    predictor = Predictor.load(model)
    specs = read_config(model)["tasks"]
    chosen = {name: predictor.model.tasks[name] for name in predictor.chosen(tasks)}
    new = sampled(read_texts(file, chosen), most, "new")
    old = (lambda name: unseen_texts(reference, specs[name], chosen[name])) if reference.is_dir() else _once(read_texts, reference, chosen)
    sides = {name: [sample_of(predictor, name, rows) for rows in (sampled(old(name), most, name), new)] for name in chosen}
    compared = {name: side for name, side in sides.items() if min(len(sample.texts) for sample in side) >= LEAST_TEXTS}
    if not compared:
        counts = ", ".join(f"{name} {' and '.join(str(len(sample.texts)) for sample in side)}" for name, side in sides.items())
        raise DataError(f"{file}: a test needs {LEAST_TEXTS} texts of the reference and as many new ones; there are for {counts}")
    results = compare({name: chosen[name] for name in compared}, compared, level)
    return {
        **results,
        "texts": {name: {"reference": len(old.texts), "new": len(new.texts)} for name, (old, new) in sides.items()},
        "skipped": [name for name in sides if name not in compared],
        "strangest": {name: strangest(*side) for name, side in compared.items()},
    }


def _once(read: Callable[..., list[Fields]], *arguments: Any) -> Callable[[str], list[Fields]]:
    rows = read(*arguments)
    return lambda name: rows


def compare(tasks: Mapping[str, TaskType], sides: Mapping[str, Sequence[Sample]], level: float) -> dict[str, Any]:
    """All tests of all tasks, corrected together; see ``drift``. ``sides`` has the reference and the new sample by task."""
    permutations = permutations_for(3 * len(tasks), level)
    found = [test for name, task in tasks.items() for test in compare_task(name, task, sides[name][0], sides[name][1], permutations)]
    corrected = holm([test.p for test in found])
    listed = [{**test._asdict(), "corrected_p": p, "drift": p <= level} for test, p in zip(found, corrected, strict=True)]
    return {"drift": any(test["drift"] for test in listed), "level": level, "permutations": permutations, "tests": listed}


def strangest(reference: Sample, new: Sample) -> list[str]:
    """The new texts that are least like the reference, each once: where the witness function of the discrepancy is highest."""
    similarity = kernel(np.concatenate([reference.embeddings, new.embeddings]))[len(reference.texts) :]
    witness = similarity[:, len(reference.texts) :].mean(1) - similarity[:, : len(reference.texts)].mean(1)
    return list(dict.fromkeys(new.texts[i] for i in np.argsort(-witness, kind="stable").tolist()))[:STRANGEST]
