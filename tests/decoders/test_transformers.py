"""The search gives the texts that ``transformers`` gives for the same decoder."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from mtl.config import Decoder as Settings
from mtl.decoders import END, Decoder, Search, build, generate
from mtl.decoders.search import NONE

BEGIN = 299
ROWS = 20


class Wrapped(PreTrainedModel, GenerationMixin):
    """A decoder that writes about one source, without a cache."""

    config_class = PretrainedConfig

    def __init__(self, decoder: Decoder, start: Tensor, states: Tensor) -> None:
        super().__init__(PretrainedConfig(vocab_size=300, is_encoder_decoder=False))
        self.decoder, self.start, self.states = decoder, start, states

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        states = self.states.expand(len(input_ids), -1, -1)
        logits, cache = self.decoder.begin(self.start, states, torch.ones(states.shape[:2], dtype=torch.bool), 1)
        for place in range(1, input_ids.shape[1]):
            logits = self.decoder.step(input_ids[:, place], cache)
        return CausalLMOutput(logits=logits.unsqueeze(1))

    def prepare_inputs_for_generation(self, input_ids: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"input_ids": input_ids}


@pytest.mark.parametrize(
    ("search", "options"),
    [
        (Search(), {}),
        (Search(beams=4), {}),
        (Search(beams=3, length_penalty=2.0), {"length_penalty": 2.0}),
        (Search(beams=3, length_penalty=0.0), {"length_penalty": 0.0}),
        (Search(beams=3, no_repeat=2), {"no_repeat_ngram_size": 2}),
    ],
)
def test_texts_are_those_of_transformers(search: Search, options: dict[str, Any]) -> None:
    settings = Settings(layers=1, width=16, heads=2, vocabulary=300, max_length=8, dropout=0.0)
    decoder = build(settings, ["Zwei Hunde spielen im Schnee , zwei Hunde liegen im Schnee ."] * 3, 12, seed=1).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5)
        decoder.subwords.weight[END] *= 6  # so that texts end
        start, states = torch.randn(16, generator=generator), torch.randn(ROWS, 3, 12, generator=generator)
        own = generate(decoder, start, states, torch.ones(ROWS, 3, dtype=torch.bool), search)[:, 1:].long().tolist()
        config = GenerationConfig(
            num_beams=search.beams,
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=END,
            bos_token_id=BEGIN,
            use_cache=False,
            **options,
        )
        theirs = [
            Wrapped(decoder, start, states[[row]]).generate(torch.tensor([[BEGIN]]), generation_config=config)[0, 1:].tolist()
            for row in range(ROWS)
        ]
    texts = [[i for i in text if i not in (END, NONE)] for text in own]
    assert texts == [[i for i in text if i != END] for text in theirs]
    assert len({len(text) for text in texts}) > 2
