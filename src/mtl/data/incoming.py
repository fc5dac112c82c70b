"""New rows for a dataset that grows: read from what people and programs left, checked, and appended to its source.

Files may be JSON lines (those of ``mtl serve --corrections`` too), CSV and TSV with a header line, and exports of Label Studio
(``.json``). All are read each time, and rows that the source has already are passed over, so files may grow.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mtl.config import TEXT, Dataset, DelimitedReader, JsonLinesReader
from mtl.data.labels import reader_of
from mtl.data.labels.base import LabelType, range_tags
from mtl.data.prepare import columns_of, example_of
from mtl.data.readers import READERS, Malformed, Row
from mtl.data.segmentation import segment
from mtl.errors import DataError
from mtl.files import write_bytes

FORMATS: dict[str, JsonLinesReader | DelimitedReader] = {
    ".jsonl": JsonLinesReader(format="jsonl"),
    ".csv": DelimitedReader(format="csv"),
    ".tsv": DelimitedReader(format="tsv"),
}
"""Suffix of a file to its reader; ``.json`` is an export of Label Studio."""
TOKENS = "tokens"
"""Column of the tokens in the rows of corrections."""
Values = dict[str, Any]


class Ingested(NamedTuple):
    """What became of the rows of all files."""

    files: int
    new: int
    known: int
    """Rows that the source had already, or that repeat another new one."""
    unlabelled: int
    malformed: list[str]
    """The reason of each, with its file and line."""


def ingest(name: str, settings: Dataset) -> Ingested:
    """Append the new rows of all files to a dataset's source, which is created where it is missing.

    Args:
        name: of the dataset, for messages.
        settings: a dataset with ``incoming``.

    Raises:
        DataError: a file cannot be read or has another format, or too many rows are malformed; nothing is appended then.
    """
    source = Path(settings.sources["all"].url)
    old = source.read_bytes() if source.exists() else b""
    known, readers, columns = set(old.decode().splitlines()), _readers(settings), columns_of(settings)
    files, lines, counts, malformed = _files(settings, source), [], {"known": 0, "unlabelled": 0}, []
    for path in files:
        for row in _rows(path, settings):
            example = example_of(settings, readers, name, row.line, row)
            if isinstance(example, Malformed):
                malformed.append(f"{path}:{example.line}: {example.reason}")
            elif all(label is None for label in example.labels.values()):
                counts["unlabelled"] += 1
            elif (line := _line(row.values, columns)) in known:  # type: ignore[union-attr]  # an example is of a row
                counts["known"] += 1
            else:
                known.add(line)
                lines.append(line)
    _check(name, settings, malformed, len(lines) + sum(counts.values()))
    if lines or not source.exists():
        separator = b"" if not old or old.endswith(b"\n") else b"\n"
        write_bytes(source, old + separator + "".join(f"{line}\n" for line in lines).encode())
    return Ingested(len(files), len(lines), counts["known"], counts["unlabelled"], malformed)


def _readers(settings: Dataset) -> dict[str, LabelType]:
    return {label: reader_of(spec) for label, spec in settings.labels.items()}


def _line(values: Mapping[str, Any], columns: Iterable[str]) -> str:
    """A row of the source: the same values, the same line."""
    return json.dumps({column: values.get(column) for column in columns}, ensure_ascii=False)


def _check(name: str, settings: Dataset, malformed: list[str], others: int) -> None:
    if len(malformed) > settings.max_malformed * (len(malformed) + others):
        shown = "\n  ".join(malformed[:10])
        raise DataError(
            f"dataset {name}: {len(malformed)} of {len(malformed) + others} incoming rows are malformed, more than max_malformed "
            f"({settings.max_malformed:g}); nothing was appended\n  {shown}"
        )


def _files(settings: Dataset, source: Path) -> list[Path]:
    """The files of ``incoming``, sorted, without the source.

    Raises:
        DataError: one has an unknown suffix.
    """
    pattern = Path(settings.incoming or "")
    paths = sorted(pattern.rglob("*") if pattern.is_dir() else pattern.parent.glob(pattern.name))
    files = [path for path in paths if path.is_file() and not path.name.startswith(".") and path.resolve() != source.resolve()]
    for path in files:
        if path.suffix.lower() not in (*FORMATS, ".json"):
            raise DataError(f"{path}: has an unknown format; incoming files end with {', '.join(FORMATS)} or .json (Label Studio)")
    return files


def _rows(path: Path, settings: Dataset) -> Iterator[Row | Malformed]:
    """The rows of a file, with the columns of the dataset."""
    if path.suffix.lower() == ".json":
        rows = _exported(path, settings)
    else:
        reader = FORMATS[path.suffix.lower()]
        rows = READERS[reader.format](path, reader, ("utf-8",), (), lambda text: None)
    for row in rows:
        yield row._replace(values=_with_tokens(row.values, settings)) if isinstance(row, Row) else row


def _with_tokens(values: Values, settings: Dataset) -> Values:
    """A row with tokens, where the dataset has tokens and the row only a text."""
    column = next(iter(settings.fields.values()))
    if not settings.given_tokens or len(settings.fields) > 1 or values.get(column) or not isinstance(values.get(TEXT), str):
        return values
    return values | {column: segment(values[TEXT], settings.segmentation or "words").tokens}


# --- exports of Label Studio ------------------------------------------------------------------------------------------


def _exported(path: Path, settings: Dataset) -> Iterator[Row | Malformed]:
    """The last finished annotation of each row of an export, by the names of its controls: those of labels or of their columns.

    Raises:
        DataError: the file is not such an export.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tasks = [(task["data"], task["annotations"]) for task in content]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: is not an export of Label Studio in the format JSON: {error!r}") from None
    for number, (data, annotations) in enumerate(tasks, start=1):
        finished = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        try:
            if finished:
                yield Row(number, _annotated(data, finished[-1].get("result", []), settings))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield Malformed(number, str(error))


def _annotated(data: Values, results: list[Values], settings: Dataset) -> Values:
    """The values of a row.

    Raises:
        ValueError: marked characters do not begin and end with a token.
    """
    values = _with_tokens(dict(data), settings)
    for label, spec in settings.labels.items():
        own = [item for item in results if item.get("from_name") in (label, spec.column)]
        column = settings.fields[settings.field_of(label)]
        if own and spec.positional:
            text = data.get(TEXT if settings.given_tokens else column, "")
            values[spec.column] = _tags(own, text, values[column], settings)
        elif own:
            chosen = list(chain.from_iterable(_chosen(item["value"]) for item in own))
            values[spec.column] = chosen if reader_of(spec).storage == "code_lists" else chosen[0]
    return values


def _chosen(value: Values) -> list[Any]:
    """What a control without ranges holds."""
    return list(value["choices"]) if "choices" in value else [value["number"] if "number" in value else value["rating"]]


def _tags(results: Iterable[Values], text: str, tokens: Any, settings: Dataset) -> list[str]:
    """IOB2 tags of the tokens of a text, from ranges of its characters."""
    tokens = tokens if isinstance(tokens, list) else tokens.split()
    starts, at = [], 0
    for token in tokens:
        at = text.index(token, at)
        starts.append(at)
        at += len(token)
    first = {start: number for number, start in enumerate(starts)}
    last = {start + len(token): number + 1 for number, (start, token) in enumerate(zip(starts, tokens, strict=True))}
    ranges = []
    for value in (item["value"] for item in results):
        if value["start"] not in first or value["end"] not in last:
            raise ValueError(f"characters {value['start']} to {value['end']} do not begin and end with a token")
        ranges.append((first[value["start"]], last[value["end"]], value["labels"][0]))
    return range_tags(sorted(ranges), len(tokens))
