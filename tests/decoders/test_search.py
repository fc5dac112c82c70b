"""The decoder's cache and its search, compared with plain computation."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mtl.config import Decoder as Settings
from mtl.decoders import END, Decoder, Search, build, generate
from mtl.decoders.base import IGNORED
from mtl.decoders.search import NONE, _highest

TEXTS = ["Zwei Hunde spielen im Schnee .", "Ein Mann liest ; [END] 東京 ß"]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    settings = Settings(layers=2, width=16, heads=2, vocabulary=300, max_length=9, dropout=0.0)
    decoder = build(settings, TEXTS, 12, seed=1).eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)  # not near uniform
    return decoder


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def source(rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A start, states of sources of 1 to 5 positions, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < (torch.arange(rows) % 5 + 1).unsqueeze(1)
    return torch.randn(16, generator=generator), torch.randn(rows, 5, 12, generator=generator), mask


def log_probability(decoder: Decoder, text: list[int], start: Tensor, states: Tensor, mask: Tensor) -> float:
    """Of a text, by one pass over all of it."""
    return -float(decoder.loss_sum(start, torch.tensor([text]), states, mask, 0.0))


def best(found: Tensor) -> list[tuple[float, list[int]]]:
    return [(float(row[0]), [int(i) for i in row[1:] if i != NONE]) for row in found]


@pytest.mark.parametrize("search", [Search(), Search(beams=3), Search(beams=3, length_penalty=0.0), Search(beams=2, no_repeat=2)])
def test_scores_of_the_cached_search_are_those_of_one_pass(decoder: Decoder, search: Search) -> None:
    start, states, mask = source(7)
    for row, (mean, text) in enumerate(best(generate(decoder, start, states, mask, search))):
        plain = log_probability(decoder, text, start, states[[row]], mask[[row]])
        assert mean == pytest.approx(plain / len(text), abs=1e-4)
        assert len(text) == 9 or text[-1] == END
        assert END not in text[:-1]


def test_the_highest_scores_are_found_by_blocks() -> None:
    scores = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0))
    scores[0, 990:] += 5  # behind the last whole block
    scores[1, 64:70] += 5
    scores[2, 500:] = -torch.inf
    for count in (1, 8):
        found, expected = _highest(scores, count), scores.topk(count)
        assert torch.equal(found[0], expected.values)
        assert torch.equal(found[1], expected.indices)


def test_a_row_gets_the_same_text_in_any_batch(decoder: Decoder) -> None:
    start, states, mask = source(6)
    states[~mask] = 99.0  # padding
    whole = best(generate(decoder, start, states, mask, Search(beams=3)))
    for row in range(6):
        length = int(mask[row].sum())
        [(mean, text)] = best(generate(decoder, start, states[[row], :length], mask[[row], :length], Search(beams=3)))
        assert (text, mean) == (whole[row][1], pytest.approx(whole[row][0], abs=1e-4))


def test_greedy_search_takes_the_most_probable_subword(decoder: Decoder) -> None:
    start, states, mask = source(4)
    for row, (_, text) in enumerate(best(generate(decoder, start, states, mask, Search()))):
        for place in range(len(text)):
            scores = [
                log_probability(decoder, [*text[:place], i], start, states[[row]], mask[[row]])
                for i in range(0, decoder.vocabulary.size, 13)
            ]
            assert log_probability(decoder, text[: place + 1], start, states[[row]], mask[[row]]) >= max(scores) - 1e-4


def test_many_beams_find_the_best_of_all_texts() -> None:
    tiny = build(Settings(layers=1, width=8, heads=1, vocabulary=257, max_length=3, dropout=0.0), [], 12, seed=2).eval()
    with torch.no_grad():
        tiny.subwords.weight.mul_(60)
        tiny.subwords.weight[4:] = 0.0
        tiny.subwords.weight[4:, 0] = -1000.0  # four subwords, the end among them, are all that can be said
        tiny.norm.bias[0] = 100.0
    start, states, mask = torch.randn(8, generator=torch.Generator().manual_seed(1)), *source(1)[1:]
    texts = [[*body, END] for size in range(3) for body in itertools.product((1, 2, 3), repeat=size)]
    texts += [list(body) for body in itertools.product((1, 2, 3), repeat=3)]
    means = {tuple(text): log_probability(tiny, text, start, states, mask) / len(text) for text in texts}
    [(mean, text)] = best(generate(tiny, start, states, mask, Search(beams=40)))
    assert tuple(text) == max(means, key=means.__getitem__)
    assert mean == pytest.approx(max(means.values()), abs=1e-4)
    [(greedy, _)] = best(generate(tiny, start, states, mask, Search()))
    assert mean >= greedy


def test_a_decoder_that_never_ends_is_bounded_and_can_be_kept_from_repeating(decoder: Decoder) -> None:
    start, states, mask = source(3)
    kept = decoder.subwords.weight[END].clone()
    with torch.no_grad():
        decoder.norm.bias.fill_(5.0)
        decoder.subwords.weight[END] = -5.0
    loops = best(generate(decoder, start, states, mask, Search(beams=2)))
    varied = best(generate(decoder, start, states, mask, Search(beams=2, no_repeat=1)))
    with torch.no_grad():
        decoder.subwords.weight[END] = kept
    assert {len(text) for _, text in loops} == {len(text) for _, text in varied} == {9}
    assert all(len(set(text)) == 9 for _, text in varied)


def test_logits_that_are_not_numbers_end_too(decoder: Decoder) -> None:
    start, states, mask = source(2)
    assert generate(decoder, start, states * float("nan"), mask, Search(beams=2)).shape == (2, 10)
    assert generate(decoder, start, states[:0], mask[:0], Search()).shape == (0, 10)


def test_half_precision_gives_about_the_same(decoder: Decoder) -> None:
    start, states, mask = source(3)
    targets = torch.tensor([[5, 6, END]] * 3)
    plain = float(decoder.loss_sum(start, targets, states, mask, 0.1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = decoder.loss_sum(start, targets, states, mask, 0.1)
        found = generate(decoder, start, states, mask, Search(beams=2))
    assert half.dtype == found.dtype == torch.float32
    assert float(half) == pytest.approx(plain, rel=0.05)


def test_targets_are_padded_without_effect(decoder: Decoder) -> None:
    start, states, mask = source(2)
    both = torch.tensor([[5, 6, END, IGNORED], [7, 8, 9, END]])
    apart = [log_probability(decoder, text, start, states[[row]], mask[[row]]) for row, text in enumerate(([5, 6, END], [7, 8, 9, END]))]
    assert -float(decoder.loss_sum(start, both, states, mask, 0.0)) == pytest.approx(sum(apart), abs=1e-4)


def test_any_text_comes_back_and_the_same_texts_give_the_same_vocabulary() -> None:
    vocabulary = build(Settings(vocabulary=300), TEXTS, 12, seed=1).vocabulary
    for text in (*TEXTS, "emoji 👩‍🚀 \ud800", ""):
        [ids] = vocabulary.encode([text])
        assert END not in ids
        assert vocabulary.decode([[*ids, END]]) == [text.encode("utf-8", "replace").decode()]
    assert vocabulary.dump() == build(Settings(vocabulary=300), TEXTS[::-1], 12, seed=1).vocabulary.dump()
