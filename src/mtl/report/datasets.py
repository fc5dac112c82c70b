"""The data card of each dataset, as tables and figures."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mtl.config import SPLITS, Params
from mtl.data.card import describe_language, describe_segmentation
from mtl.data.check import describe_leak
from mtl.names import RunName
from mtl.report import charts
from mtl.report.blocks import Block, Figure, Table
from mtl.report.inputs import Inputs, Json
from mtl.report.text import counted, listed, percent, whole

FEW_KEPT = 0.2
"""Share of its variants below which a method changes little."""
COLOURED = 6
"""Classes or entity types that get a colour of their own; the others share one."""
NAMED = 12
"""Classes in the legend of a figure, at most; without a legend the pointer names them."""


def data_cards(params: Params, inputs: Inputs) -> list[Json]:
    """For each dataset: sources, rows by split, labels by split, what was left out, duplicates and leakage."""
    return [_card(name, inputs.cards[name], leaks_of(name, inputs.across)) for name in params.datasets]


def leaks_of(dataset: str, across: Json) -> list[Json]:
    """The datasets that train on texts which this one holds out."""
    return [entry for entry in across.get("leakage", []) if entry["held_out"] == dataset]


def _card(name: str, card: Json, elsewhere: Sequence[Json]) -> Json:
    splits = [split for split in SPLITS if card.get("rows", {}).get(split)]
    malformed = card.get("malformed", {})
    return {
        "name": name,
        "sources": card.get("sources", {}),
        "rows": Table(f"Rows of {name}", "", _row_table(card, splits), dict.fromkeys([*splits, "all"], whole), style="narrow"),
        "labels": [_label(label, content, splits) for label, content in card.get("labels", {}).items()],
        "malformed_total": malformed.get("total", 0),
        "malformed": Table(f"Malformed rows of {name}", "", pd.DataFrame(malformed.get("samples", []))),
        "leaked": [
            *({**sample, "where": "train"} for sample in card.get("leakage", {}).get("samples", [])),
            *({**sample, "where": f"train of {entry['train']}"} for entry in elsewhere for sample in entry["samples"]),
        ],
        "finding": " ".join([_finding(card, splits), *_described(name, card), *map(describe_leak, elsewhere)]),
    }


def _row_table(card: Json, splits: Sequence[str]) -> pd.DataFrame:
    """Counts by split: rows, tokens, repeated texts and texts that are in train too."""
    measures = {"rows": "rows", "tokens": "tokens", "duplicates": "repeated texts"}
    counts = {name: card[key] for key, name in measures.items() if key in card}
    leaks = {"exact": "same text in train", "near": "nearly the same text in train"}
    counts |= {
        name: {**card["leakage"][key], "total": sum(card["leakage"][key].values())}
        for key, name in leaks.items()
        if key in card.get("leakage", {})
    }
    frame = pd.DataFrame.from_dict(counts, orient="index", columns=None).reindex(columns=[*splits, "total"])
    return frame.rename(columns={"total": "all"}).rename_axis("count").reset_index()


def _finding(card: Json, splits: Sequence[str]) -> str:
    counts = [f"{whole(card['rows'][split])} {split}" for split in splits]
    rows = f"{listed(counts)} rows" if counts else "No rows"
    if unlabelled := card.get("unlabelled", {}).get("kept"):
        rows += f", {whole(unlabelled)} of them without any label"
    leaked = sum(count for kind in ("exact", "near") for count in card.get("leakage", {}).get(kind, {}).values())
    malformed = counted(card.get("malformed", {}).get("total", 0), "malformed row")
    dropped = card.get("dropped", {}).get("total", 0)
    left_out = f", {counted(dropped, 'train row')} with a held-out text left out" if dropped else ""
    held_out = "held-out text is" if leaked == 1 else "held-out texts are"
    return f"{rows}; {malformed}{left_out}. {whole(leaked)} {held_out} also in train, exactly or nearly."


def _described(name: str, card: Json) -> Iterator[str]:
    """The language, and how new texts become tokens."""
    if language := card.get("language"):
        yield describe_language(language, name)
    if found := card.get("segmentation"):
        yield describe_segmentation(found)


def _label(name: str, content: Mapping[str, Any], splits: Sequence[str]) -> Block:
    """A label's values by split: shares of classes or entity types, or mean and spread of numbers."""
    by_split = {split: content[split] for split in splits if split in content}
    counted_by = next((key for values in by_split.values() for key, value in values.items() if isinstance(value, dict)), None)
    if counted_by is None:
        frame = pd.DataFrame.from_dict(by_split, orient="index").rename(columns={"std": "sd"}).rename_axis("split").reset_index()
        decimals = dict.fromkeys(("mean", "sd", "min", "max"), _two)
        return Table(name, "numbers by split", frame, {key: text for key, text in decimals.items() if key in frame}, style="")
    frame = _shares({split: values.get(counted_by, {}) for split, values in by_split.items()})
    totals = frame.groupby("part", sort=False)["count"].sum()
    order = sorted(totals.index, key=lambda value: (-totals[value], value))
    chart = charts.stacked(frame, list(by_split), charts.palette(order, COLOURED), legend=len(order) <= NAMED)
    most = ", ".join(f"{value} {whole(totals[value])}" for value in order[:COLOURED])
    return Figure(name, f"share of {counted_by} by split; {most}{' …' if len(order) > COLOURED else ''}", chart)


def _shares(counts: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Columns ``name`` (the split), ``part`` (the value), ``count`` and ``share``."""
    rows = [(split, value, count) for split, values in counts.items() for value, count in values.items() if count]
    frame = pd.DataFrame(rows, columns=["name", "part", "count"])
    return frame.assign(share=frame["count"] / frame.groupby("name")["count"].transform("sum"))


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _few_kept(shards: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """(method, warning) of the methods that keep few of their variants."""
    for method in dict.fromkeys(method for shard in shards for method in shard["methods"]):
        counts = [shard["methods"][method] for shard in shards if method in shard["methods"]]
        made, kept = (sum(count[key] for count in counts) for key in ("made", "kept"))
        dropped = sum((Counter(count["dropped"]) for count in counts), Counter[str]())
        if dropped and kept < FEW_KEPT * made and not any(count.get("note") for count in counts):
            reason = dropped.most_common(1)[0][0]
            yield method, f"Keeps {percent(kept / made)} of its variants, so it changes little; most were dropped as {reason}."


def warnings(params: Params, inputs: Inputs) -> list[tuple[str, str]]:
    """(where, what) of all warnings of the data, augmentation, the runs and the comparisons. Equal warnings are listed once."""
    warned = [("comparisons", text) for text in inputs.comparisons.get("warnings", [])]
    for name, card in inputs.cards.items():
        warned += [(name, text) for text in card.get("warnings", [])]
        malformed = card.get("malformed", {})
        if malformed.get("total"):
            warned.append((name, f"Left out {counted(malformed['total'], 'malformed row')} ({percent(malformed.get('share', 0), 2)})."))
        exact = sum(card.get("leakage", {}).get("exact", {}).values())
        if exact:
            warned.append((name, f"{counted(exact, 'text')} of validation or test {'is' if exact == 1 else 'are'} also in train."))
        warned += [(name, describe_leak(entry)) for entry in leaks_of(name, inputs.across)]
    warned += [("labels", text) for text in inputs.across.get("warnings", [])]
    for name, shards in inputs.counts.items():
        notes = {method: counts["note"] for shard in shards for method, counts in shard["methods"].items() if counts.get("note")}
        warned += [(f"{name} ({method})", str(note)) for method, note in notes.items()]
        warned += [(f"{name} ({method})", text) for method, text in _few_kept(shards)]
    for run, content in inputs.runs.items():
        warned += [(run, str(text)) for text in content.get("warnings", [])]
    places: dict[str, list[str]] = {}
    for where, what in warned:
        places.setdefault(what, []).append(where)
    return [(", ".join(_without_seeds(wheres, inputs.runs)), what) for what, wheres in places.items()]


def _without_seeds(places: Sequence[str], runs: Collection[str]) -> list[str]:
    """Runs that differ in their seeds only under the name of the first; other places as they are."""
    seeds: dict[RunName | str, list[str]] = {}
    for place in places:
        seeds.setdefault(RunName.parse(place)._replace(seed=0) if place in runs else place, []).append(place)
    return [first if not others else f"{first} and {counted(len(others), 'other seed')}" for first, *others in seeds.values()]
