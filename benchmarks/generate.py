"""Writing text beside transformers' ``EncoderDecoderModel``: target subwords per second of CPU time (on a GPU: of wall time).

    python benchmarks/generate.py [--rows 64] [--beams 4] [--turns 5] [--json]

Both sides have BERT-type encoders and decoders of the same sizes with random weights, and the same sources and targets, whose lengths are
those of captions. They take turns in one process.

training   forward and backward passes over batches of 32 rows in order of length; transformers pads its targets
decoding   beam search for texts of ``--length`` subwords with equal beams, since random weights hardly ever end one

That both searches write the same texts with the same weights is shown by tests/decoders/test_transformers.py.
With --json the last line is one JSON object.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from baselines import Clock, device_name
from torch import Tensor, nn
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, GenerationConfig

from mtl.config import Decoder as Settings
from mtl.decoders import Decoder, Search, build, generate
from mtl.decoders.base import IGNORED
from mtl.model.device import Precision

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
    decoder.max_length = length
    return Ours(encoder, decoder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
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

    def write_own() -> None:
        for rows in parts:
            generate(own.decoder, own.start, own.states(rows), rows.mask, Search(options.beams))

    def write_other() -> None:
        for rows in parts:
            other.generate(
                input_ids=rows.sources, attention_mask=rows.mask, num_beams=options.beams, max_new_tokens=options.length, do_sample=False
            )

    own.train(), other.train()
    subwords = sum(rows.real for rows in parts)
    result: dict[str, object] = {"device": device_name(device)}
    with Precision("fp32", device).autocast():
        result |= compared("training", train_own, train_other, subwords, options.turns, device)
    own.decoder.max_length = options.length
    own.eval(), other.eval()
    with torch.inference_mode(), Precision("fp32", device).autocast():
        result |= compared("decoding", write_own, write_other, options.rows * options.length, options.turns, device)
    print(json.dumps(result) if options.json else "")


def compared(
    name: str, own: Callable[[], None], other: Callable[[], None], subwords: int, turns: int, device: torch.device
) -> dict[str, float]:
    """Subwords per second of both sides, and the median of their ratios over the turns; the first turn is not counted."""
    clock = Clock(device)
    seconds = []
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
