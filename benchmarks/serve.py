"""The service beside one Hugging Face pipeline per task behind the same web framework, and bulk prediction beside a loop of pipelines.

    python benchmarks/serve.py [--seconds 20] [--turns 3] [--lines 2000] [--precision bf16] [--quick] [--json]

All sides have random weights of the default encoder's shape (BERT, 6 layers of width 384) and predict three tasks: a class, a number and
tags. Our side is one process of `mtl serve` with a joint model; the other side is a process per task with FastAPI, uvicorn and a
`transformers` pipeline. Texts have 17 words on average. Sides take turns; the one that waits is idle. Everything listens on loopback.

throughput_vs_pipelines   texts per second with all tasks predicted, 32 clients, one text per request; a client of the other side sends its
                          text to the processes of all tasks at once
p95_ms                    95th percentile of the time to a reply for one text, on our side without other requests
bulk_vs_pipeline          CPU seconds for the lines, without loading models, on one thread; pipelines take 32 texts at a time
memory_mib                resident memory of our process after the load
memory_growth_mib         how much of that came after the first turn of 32 clients; a failed request ends the benchmark

With --json the last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import psutil
from baselines import show
from project import VOCABULARY, filler, write_encoder

from mtl.model.device import PREDICTION

CLIENTS, PIPELINE_ROWS = 32, 32
TASKS = {"mood": "text-classification", "rating": "text-classification", "names": "token-classification"}
SHAPE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
TAGS = ["B-person", "I-person", "B-place", "I-place"]


# --- models -----------------------------------------------------------------------------------------------------------


def write_models(folder: Path) -> None:
    """A joint model, and a model for each task, with random weights."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        BertConfig,
        BertModel,
        PreTrainedTokenizerFast,
    )

    write_encoder(folder / "encoder")
    BertModel(BertConfig(vocab_size=VOCABULARY, **SHAPE)).save_pretrained(folder / "encoder")
    write_joint(folder)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "encoder/tokenizer.json"), model_max_length=128, **names)
    outputs = {"mood": 2, "rating": 1, "names": len(TAGS) + 1}
    for task, type_ in TASKS.items():
        auto = AutoModelForTokenClassification if type_ == "token-classification" else AutoModelForSequenceClassification
        config = AutoConfig.for_model("bert", vocab_size=VOCABULARY, num_labels=outputs[task], **SHAPE)
        auto.from_config(config).save_pretrained(folder / task)
        tokenizer.save_pretrained(folder / task)


def write_joint(folder: Path) -> None:
    from mtl import encoders
    from mtl.config import TransformerEncoder
    from mtl.model.folder import save
    from mtl.model.model import Model
    from mtl.tasks.classification import Classification
    from mtl.tasks.regression import Regression
    from mtl.tasks.token_classification import TokenClassification

    settings = TransformerEncoder.model_validate({"type": "transformer", "source": {"url": "file:///made-here"}, "max_length": 128})
    encoder, tokenizer = encoders.build(settings, folder / "encoder", [])
    tasks = {
        "mood": Classification(Classification.fit(["good", "bad"])),
        "rating": Regression(Regression.fit([1.0, 5.0])),
        "names": TokenClassification(TokenClassification.fit([TAGS])),
    }
    (folder / "joint").mkdir()
    save(Model(encoder, tokenizer, tasks, max_length=128, dropout=0.0), folder / "joint", {})


def texts(count: int) -> list[str]:
    """Synthetic texts, the same for the same count."""
    draw = np.random.default_rng(1)
    return [" ".join(filler(draw)) for _ in range(count)]


# --- the other side ---------------------------------------------------------------------------------------------------


def load_pipeline(folder: Path) -> Any:
    """The pipeline of a task, whose name the folder has."""
    from transformers import pipeline

    return pipeline(TASKS[folder.name], str(folder), device="cpu", batch_size=PIPELINE_ROWS)


def serve_pipeline(folder: Path) -> None:
    """Serve one task on a free port, which is printed. Requests are predicted one after the other: concurrent threads are slower."""
    import torch
    import uvicorn
    from fastapi import Body, FastAPI

    torch.set_num_threads(1)
    predict, app = load_pipeline(folder), FastAPI()

    @app.post("/predict")
    async def predictions_of(texts: Annotated[list[str], Body(embed=True)]) -> Any:
        predictions = predict(texts)
        return json.loads(json.dumps(predictions, default=float))

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run([listener])


# --- clients ----------------------------------------------------------------------------------------------------------


class Client:
    """Keeps a connection open; costs little beside what it measures."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def post(self, body: bytes) -> None:
        """One request to ``/predict``."""
        if not hasattr(self, "_reader"):
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        reply = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in reply.partition(b"\r\n")[0]:
            raise SystemExit(reply.decode())
        fields = dict(line.lower().split(": ", 1) for line in reply.decode().strip().split("\r\n")[1:])
        await self._reader.readexactly(int(fields["content-length"]))


async def throughput(ports: Sequence[int], bodies: Sequence[bytes], seconds: float) -> float:
    """Texts per second of 32 clients; each text goes to all ports."""
    end, count = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal count
        connections = [Client(port) for port in ports]
        while time.perf_counter() < end:
            body = bodies[(number + count) % len(bodies)]
            await asyncio.gather(*(connection.post(body) for connection in connections))
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return count / (time.perf_counter() - start)


async def latencies(port: int, bodies: Sequence[bytes]) -> list[float]:
    """Milliseconds to each reply, one request after the other."""
    connection, result = Client(port), []
    for body in bodies:
        start = time.perf_counter()
        await connection.post(body)
        result.append(1000 * (time.perf_counter() - start))
    return result


@contextmanager
def running(*commands: Sequence[str]) -> Iterator[list[tuple[subprocess.Popen[str], int]]]:
    """Services that print their port, or their URL, first."""
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for command in commands]
    try:
        yield [(process, int(process.stdout.readline().split(":")[-1])) for process in processes if process.stdout]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def resident(process: subprocess.Popen[str]) -> float:
    """Memory of a process in MiB."""
    return float(psutil.Process(process.pid).memory_info().rss / 2**20)


def compare_services(folder: Path, turns: int, seconds: float, precision: str) -> dict[str, Any]:
    """Throughput of both sides, and our latency and memory."""
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts(256)]
    ours = [sys.executable, "-m", "mtl", "serve", "--model", str(folder / "joint"), "--port", "0", "--precision", precision]
    theirs = [[sys.executable, __file__, "--serve", str(folder / task)] for task in TASKS]
    rates: dict[str, list[float]] = {"ours": [], "pipelines": []}
    with running(ours) as ((process, port),), running(*theirs) as others:
        ports = {"ours": [port], "pipelines": [other for _, other in others]}
        for own in ports.values():
            asyncio.run(throughput(own, bodies, min(seconds, 3)))
        warm = 0.0
        for _ in range(turns):
            for side, own in ports.items():
                rates[side].append(asyncio.run(throughput(own, bodies, seconds)))
            warm = warm or resident(process)
        milliseconds = asyncio.run(latencies(port, bodies))
        memory, their_memory = resident(process), sum(resident(other) for other, _ in others)
    return {
        "throughput_vs_pipelines": round(median(rates["ours"]) / median(rates["pipelines"]), 2),
        "texts_per_second": round(median(rates["ours"])),
        "pipelines_texts_per_second": round(median(rates["pipelines"])),
        "p95_ms": round(quantiles(milliseconds, n=20)[-1], 1),
        "median_ms": round(median(milliseconds), 1),
        "memory_mib": round(memory),
        "memory_growth_mib": round(memory - warm, 1),
        "pipelines_memory_mib": round(their_memory),
    }


# --- bulk -------------------------------------------------------------------------------------------------------------


def compare_bulk(folder: Path, lines: int, turns: int, precision: str) -> dict[str, Any]:
    """Seconds of CPU time of both sides."""
    import torch

    import mtl

    torch.set_num_threads(1)
    model, pipelines = mtl.load(folder / "joint", "cpu", precision), [load_pipeline(folder / task) for task in TASKS]
    rows = texts(lines)
    sides = {"ours": lambda: model.predict(rows), "pipelines": lambda: [pipeline(rows) for pipeline in pipelines]}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(turns):
        for side, predict in sides.items():
            start = time.process_time()
            predict()
            seconds[side].append(time.process_time() - start)
    return {
        "bulk_vs_pipeline": round(median(seconds["pipelines"]) / median(seconds["ours"]), 2),
        "bulk_texts_per_second": round(lines / median(seconds["ours"])),
        "lines": lines,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of a turn (%(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="of each side (%(default)s)")
    parser.add_argument("--lines", type=int, default=2000, help="of bulk prediction (%(default)s)")
    parser.add_argument("--precision", choices=PREDICTION, default="fp32", help="of our side (%(default)s); pipelines take fp32")
    parser.add_argument("--quick", action="store_true", help="one short turn: shows that it works, its figures say little")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve_pipeline(options.serve)
        return
    seconds, turns, lines = (1.0, 1, 64) if options.quick else (options.seconds, options.turns, options.lines)
    with TemporaryDirectory() as folder:
        write_models(Path(folder))
        results = compare_services(Path(folder), turns, seconds, options.precision)
        results |= compare_bulk(Path(folder), lines, turns, options.precision)
    show(results | {"precision": options.precision, "clients": CLIENTS, "tasks": len(TASKS)}, options.json)


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
