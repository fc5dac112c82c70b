"""Writing text beside transformers' ``EncoderDecoderModel``: target subwords per second of CPU time (on a GPU: of wall time).

    python benchmarks/generate.py [--rows 64] [--beams 4] [--turns 5] [--json]
    python benchmarks/generate.py --model DIR --task NAME --file FILE [--rows 512] [--turns 5] [--json]

Both sides have BERT-type encoders and decoders of the same sizes with random weights, and the same sources and targets, whose lengths are
those of captions. They take turns in one process.

training        forward and backward passes over batches of 32 rows in order of length; transformers pads its targets
decoding        beam search for texts of ``--length`` subwords with equal beams, since random weights hardly ever end one
decoding_bf16   the same with our products in bfloat16, on a CPU with instructions for it; transformers keeps float32

With a trained model, both sides write the texts of a task on the lines of a file: ours as ``mtl predict`` does, transformers by the export
of that task, on 32 lines at a time in order of length. The shares of equal texts are printed too.

That both searches write the same texts with the same weights is shown by tests/decoders/test_transformers.py.
With --json the last line is one JSON object.
"""

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from baselines import Clock, device_name
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, EncoderDecoderConfig, EncoderDecoderModel, GenerationConfig

from mtl.config import Decoder as Settings
from mtl.decoders import Decoder, Search, build, generate
from mtl.decoders.base import IGNORED, Tied
from mtl.encoders.products import has_bf16_units
from mtl.export import hf
from mtl.model.device import Precision
from mtl.model.prediction import Predictor

VOCABULARY, WIDTH, HEADS, LAYERS, BATCH = 8000, 256, 4, 3, 32
END = 1
"""Of transformers' side."""


class Rows(NamedTuple):
    """Sources and targets, padded."""

    sources: Tensor
    mask: Tensor
    targets: Tensor

    @property
    def real(self) -> int:
        """Target subwords."""
        return int((self.targets != IGNORED).sum())


def batches(rows: int, device: torch.device) -> list[Rows]:
    """Rows in order of length: 6 to 30 subwords, and targets of 0.7 to 1.4 times as many."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(6, 31, (rows,), generator=generator).sort().values
    ratios = 0.7 + 0.7 * torch.rand(rows, generator=generator)
    result = []
    for start in range(0, rows, BATCH):
        own, targets = lengths[start : start + BATCH], (lengths * ratios).long()[start : start + BATCH]
        mask, real = (torch.arange(int(sizes.max())) < sizes[:, None] for sizes in (own, targets))
        source, target = (torch.randint(5, VOCABULARY, part.shape, generator=generator) for part in (mask, real))
        result.append(Rows(source.to(device), mask.to(device), target.masked_fill(~real, IGNORED).to(device)))
    return result


def theirs() -> EncoderDecoderModel:
    """A model of transformers with random weights."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config = BertConfig(**sizes, intermediate_size=4 * WIDTH)
    model = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(config, BertConfig(**config.to_diff_dict())))
    model.config.decoder_start_token_id, model.config.pad_token_id, model.config.eos_token_id = 0, 0, END
    model.generation_config = GenerationConfig(decoder_start_token_id=0, pad_token_id=0, eos_token_id=END)
    return model


class Ours(nn.Module):
    """The same encoder, with the decoder of the package."""

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder, self.start = encoder, decoder, nn.Parameter(torch.zeros(WIDTH))

    def states(self, rows: Rows) -> Tensor:
        """Of the encoder."""
        found: Tensor = self.encoder(input_ids=rows.sources, attention_mask=rows.mask).last_hidden_state
        return found


def ours(encoder: nn.Module, length: int) -> Ours:
    """A model of the package, whose vocabulary is padded to the size of the other side's."""
    decoder = build(Settings(layers=LAYERS, width=WIDTH, heads=HEADS, max_length=max(length, 64)), [], WIDTH, seed=1)
    decoder.subwords = nn.Embedding(VOCABULARY, WIDTH)
    nn.init.normal_(decoder.subwords.weight, std=0.02)
    decoder.output = Tied(decoder.subwords, VOCABULARY)
    decoder.max_length = length
    return Ours(encoder, decoder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a trained model, instead of random weights")
    parser.add_argument("--task", help="of this model")
    parser.add_argument("--file", type=Path, help="texts, one a line")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    clock = Clock(device)
    if options.model:
        lines = options.file.read_text(encoding="utf-8").splitlines()[: options.rows]
        result = {"device": device_name(device), **of_model(options.model, options.task, lines, options.turns, clock)}
    else:
        result = {"device": device_name(device), **of_random_weights(options, clock)}
    print(json.dumps(result) if options.json else "")


def of_random_weights(options: argparse.Namespace, clock: Clock) -> dict[str, float]:
    """Training and decoding."""
    device, turns = clock.device, options.turns
    other = theirs().to(device)
    own, parts = ours(other.encoder, 64).to(device), batches(options.rows, device)

    def train_own() -> None:
        for rows in parts:
            own.decoder.loss_sum(own.start, rows.targets, own.states(rows), rows.mask, 0.1).backward()
        own.zero_grad()

    def train_other() -> None:
        for rows in parts:
            other(input_ids=rows.sources, attention_mask=rows.mask, labels=rows.targets).loss.backward()
        other.zero_grad()

    def write_own(side: Ours, precision: Precision) -> None:
        with precision.autocast():
            for rows in parts:
                generate(side.decoder, side.start, side.states(rows), rows.mask, Search(options.beams))

    def write_other() -> None:
        for rows in parts:
            other.generate(
                input_ids=rows.sources, attention_mask=rows.mask, num_beams=options.beams, max_new_tokens=options.length, do_sample=False
            )

    own.train(), other.train()
    subwords = sum(rows.real for rows in parts)
    with Precision("fp32", device).autocast():
        result = compared("training", train_own, train_other, subwords, turns, clock)
    own.decoder.max_length = options.length
    own.eval(), other.eval()
    for name, precision in precisions(device).items():
        side = Ours(own.encoder, copy.deepcopy(own.decoder)).eval()
        if device.type == "cpu":
            side.decoder.fuse(precision.products)
        with torch.inference_mode():
            result |= compared(name, partial(write_own, side, precision), write_other, options.rows * options.length, turns, clock)
    return result


def of_model(folder: Path, task: str, lines: Sequence[str], turns: int, clock: Clock) -> dict[str, float]:
    """Decoding with trained weights."""
    rows = [line.split() for line in lines]
    with TemporaryDirectory() as out:
        hf.export(folder, Path(out, "exported"), [task])
        source = Path(out, "exported", task)
        other = EncoderDecoderModel.from_pretrained(source).eval().to(clock.device)
        reading, writing = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(source / "target")

    def write_other() -> list[str]:
        order = sorted(range(len(rows)), key=lambda i: len(lines[i]))
        found = [""] * len(rows)
        for start in range(0, len(rows), BATCH):
            places = order[start : start + BATCH]
            inputs = reading([rows[i] for i in places], is_split_into_words=True, truncation=True, padding=True, return_tensors="pt")
            texts = writing.batch_decode(other.generate(**inputs.to(clock.device)), skip_special_tokens=True)
            for place, text in zip(places, texts, strict=True):
                found[place] = " ".join(text.split())
        return found

    result: dict[str, float] = {}
    with torch.inference_mode():
        expected = write_other()
        subwords = sum(len(ids) for ids in writing(expected).input_ids)
        for name, precision in precisions(clock.device).items():
            predictor = Predictor.load(folder, str(clock.device), precision.name)
            found = [str(prediction.value) for prediction in predictor.predict(rows, [task])[task]]
            equal = sum(a == b for a, b in zip(found, expected, strict=True)) / len(rows)
            print(f"{name}: {equal:.4f} of {len(rows)} texts are equal")
            result |= {f"{name}_equal_texts": equal}
            result |= compared(name, partial(predictor.predict, rows, [task]), write_other, subwords, turns, clock)
    return result


def precisions(device: torch.device) -> dict[str, Precision]:
    """By name of the comparison, the precision of our side."""
    found = {"decoding": Precision("fp32", device)}
    if device.type == "cpu" and has_bf16_units():
        found["decoding_bf16"] = Precision("bf16", device)
    return found


def compared(
    name: str, own: Callable[[], object], other: Callable[[], object], subwords: int, turns: int, clock: Clock
) -> dict[str, float]:
    """Subwords per second of both sides, and the median of their ratios over the turns; the first turn is not counted."""
    seconds: list[list[float]] = []
    for _ in range(turns + 1):
        seconds.append([])
        for side in (own, other):
            began = clock()
            side()
            seconds[-1].append(clock() - began)
    counted = torch.tensor(seconds[1:])
    speeds = (subwords / counted).median(0).values.tolist()
    ratio = float((counted[:, 1] / counted[:, 0]).median())
    print(f"{name}: {speeds[0]:.0f} subwords/s, transformers {speeds[1]:.0f}; ratio {ratio:.2f}")
    return {f"{name}_speed": speeds[0], f"{name}_vs_transformers": ratio}


if __name__ == "__main__":
    main()
