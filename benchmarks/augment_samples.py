"""What do the rows look like? Samples variants of each method and prints what changed, for a person to judge.

    snakemake --cores all prepare
    python benchmarks/augment_samples.py --data data

Each method makes one copy of all train rows of a dataset; of those that are kept, the same seed samples the same. The tables
have an empty last column for the judgement. ``--own`` takes the methods of the params file, which may need downloads:

    snakemake --cores all prepare download --configfile examples/chinese/params.yaml
    python benchmarks/augment_samples.py --own --params examples/chinese/params.yaml
"""

import argparse
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from augment_gain import METHODS

import mtl.config
from mtl.augment.shards import augment_shard
from mtl.config import AugmentMethod, Params
from mtl.data import schema
from mtl.data.matching import spaceless
from mtl.names import ShardName
from mtl.seeds import seed_of

PIVOTS = ("eo", "es")
Pair = tuple[str, str]
"""An original and its variant, as texts."""


def methods() -> dict[str, AugmentMethod]:
    """Every method with one copy, and back-translation once by each pivot."""
    specs = {name: {**spec, "copies": 1} for name, spec in METHODS.items()}
    mixed = specs.pop("back_translate")
    specs |= {f"back_translate_{pivot}": {**mixed, "pivots": [pivot]} for pivot in PIVOTS}
    return dict(mtl.config.Augment.model_validate({"methods": specs}).methods)


def pairs(params: Params, dataset: str, name: str, method: AugmentMethod, data: Path) -> dict[str, Pair]:
    """All variants that a method makes of a dataset and that are kept, by their ids."""
    single = params.model_copy(update={"augment": params.augment.model_copy(update={"shards": 1, "methods": {name: method}})})
    with TemporaryDirectory(prefix="augment_samples-") as folder:
        augment_shard(single, dataset, 0, data / "examples", Path(folder), data / "raw")
        variants = texts(Path(folder, ShardName(dataset, 0, 1).file), "parent_id")
    originals = {id_: text for id_, (text, _) in texts(data / "examples" / f"{dataset}.parquet", "id").items()}
    return {id_: (originals[parent], text) for id_, (text, parent) in variants.items()}


def texts(path: Path, of: str) -> dict[str, Pair]:
    """The text of each row, and one of its ids."""
    table = schema.read(path, list(dict.fromkeys(("id", of, "tokens", "space_after"))))
    return {row["id"]: (schema.text_of(row["tokens"], row["space_after"]), row[of]) for row in table.to_pylist()}


def sampled(variants: dict[str, Pair], count: int, seed: int) -> list[Pair]:
    """Some of them, by a hash of seed and id."""
    return [variants[id_] for id_ in sorted(variants, key=lambda id_: seed_of("sample", seed, id_))[:count]]


def marked(original: str, variant: str) -> str:
    """The variant as Markdown, with ``[a → **b**]`` for the words a that became b."""
    gap = "" if spaceless([original]) else " "
    before, after = (text.split() if gap else list(text) for text in (original, variant))
    return gap.join(filter(None, _marked(before, after, gap)))


def _marked(before: Sequence[str], after: Sequence[str], gap: str) -> Iterator[str]:
    for operation, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        old, new = (escaped(gap.join(words)) for words in (before[i:j], after[k:m]))
        yield old if operation == "equal" else f"[{old} → **{new}**]" if new else f"[{old} →]"


def escaped(text: str) -> str:
    """Text as a cell of a Markdown table."""
    for mark in "\\|_*`[]":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def main() -> None:
    """Print a table for each method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="a project's data folder, prepared")
    parser.add_argument("--params", type=Path, default=Path("examples/tweets/params.yaml"))
    parser.add_argument("--rows", type=int, default=30, help="of each method, the same number from each dataset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--own", action="store_true", help="the methods of the params file, instead of those of the benchmark")
    parser.add_argument("--only", nargs="+", metavar="METHOD")
    options = parser.parse_args()
    params = mtl.config.load(options.params)
    own = {name: method.model_copy(update={"copies": 1}) for name, method in params.augment.methods.items()}
    known = own if options.own else methods()
    tagged = [name for name, spec in params.datasets.items() if any(label.type == "tags" for label in spec.labels.values())]
    for name in options.only or known:
        method = known[name]
        print(f"\n### `{name}`\n\n| # | row | fine |\n|---|---|---|")
        datasets = tagged if method.needs_tags else list(params.datasets)
        of_each = [sampled(pairs(params, dataset, name, method, options.data), options.rows, options.seed) for dataset in datasets]
        for number, pair in enumerate(chain.from_iterable(rows[: options.rows // len(datasets)] for rows in of_each), start=1):
            print(f"| {number} | {marked(*pair)} | |")


if __name__ == "__main__":
    main()
