"""All encoders keep the invariants of the interface; a folder that is not an encoder is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, GPT2Config, GPT2Model, RobertaConfig, RobertaModel

from mtl import config, encoders, plugins
from mtl.encoders import Encoder, SubwordTokenizer, build, restore
from mtl.encoders.base import EncoderOutput, marker_positions, mean_pool
from mtl.encoders.tokenizer import Marker
from mtl.errors import EncoderError

ROWS = [
    ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."],
    ["Angela", "Merkel", "visited", "Paris"],
    ["great", "!"],
    [],
    ["\u200b"],
]
SETTINGS: dict[str, dict[str, Any]] = {
    "transformer": {"type": "transformer", "source": {"url": "unused"}},
    "fnn": {"type": "fnn", "width": 16, "window": 2, "layers": 2, "vocabulary": 300},
    "fnn without window": {"type": "fnn", "width": 16, "window": 0, "layers": 1, "vocabulary": 300},
    "cnn": {"type": "cnn", "width": 16, "kernels": [2, 3, 5], "layers": 2, "vocabulary": 300},
    "lstm": {"type": "rnn", "width": 15, "cell": "lstm", "layers": 2, "vocabulary": 300},
    "gru": {"type": "rnn", "width": 16, "cell": "gru", "layers": 1, "vocabulary": 300},
}
Built = tuple[Encoder, SubwordTokenizer]


def settings_of(**values: Any) -> Any:
    return TypeAdapter(config.Encoder).validate_python({"max_length": 32, **values})


@pytest.fixture(params=SETTINGS, scope="module")
def built(request: pytest.FixtureRequest, tiny_bert: Path) -> Built:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder, tokenizer = build(settings_of(**SETTINGS[request.param]), tiny_bert, ROWS)
        for name, parameter in encoder.named_parameters():
            if name.startswith("word_shape_ids"):  # zero at the start; what is tested below should depend on them
                nn.init.normal_(parameter)
    return encoder.eval(), tokenizer


def batch(tokenizer: SubwordTokenizer, rows: list[list[str]]) -> tuple[Tensor, Tensor, Tensor]:
    encoded = tokenizer.encode(rows, 32)
    cuts = encoded.lengths.tolist()
    subwords = pad_sequence(torch.from_numpy(encoded.subwords).long().split(cuts), batch_first=True)
    word_shape_ids = pad_sequence(torch.from_numpy(encoded.word_shape_ids).long().split(cuts), batch_first=True)
    return subwords, torch.arange(subwords.shape[1]) < torch.tensor(cuts)[:, None], word_shape_ids


@pytest.mark.parametrize("kind", SETTINGS)
def test_trying_an_encoder_out_leaves_no_trace(kind: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = []
    for tried in (True, False):
        if not tried:
            monkeypatch.setattr(encoders, "_try_out", lambda *_: None)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder, _ = build(settings_of(**SETTINGS[kind]), tiny_bert, ROWS)
            modes = [module.training for module in encoder.modules()]
            weights = {name: value.tolist() for name, value in encoder.state_dict().items()}
            traces.append((modes, weights, torch.get_rng_state().tolist(), [p.grad for p in encoder.parameters()]))
    assert traces[0] == traces[1]


def test_padding_does_not_change_a_row(built: Built) -> None:
    encoder, tokenizer = built
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    with torch.no_grad():
        hidden = encoder(subwords, mask, word_shape_ids)
        pooled = encoder.pool(hidden, mask)
        assert hidden.shape == (*subwords.shape, encoder.width)
        assert pooled.shape == (len(ROWS), encoder.width)
        for i, row in enumerate(ROWS):
            alone = batch(tokenizer, [row])
            own = encoder(*alone)
            torch.testing.assert_close(hidden[i, : own.shape[1]], own[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(pooled[i], encoder.pool(own, alone[1])[0], atol=1e-5, rtol=0)


def test_what_stands_in_the_padding_does_not_matter(built: Built) -> None:
    encoder, tokenizer = built
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    with torch.no_grad():
        expected = encoder(subwords, mask, word_shape_ids)
        found = encoder(subwords.masked_fill(~mask, 7), mask, word_shape_ids.masked_fill(~mask, 3))
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=0)


def test_a_pruned_vocabulary_computes_the_same_and_is_restored_whole(built: Built) -> None:
    encoder, tokenizer = built
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    used = np.unique(subwords.numpy())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        expected = encoder(subwords, mask, word_shape_ids)
        encoder.prune_vocabulary(used)
        assert encoder.embedding.weight.shape[0] == encoder.embedding.num_embeddings == len(used) < len(next(iter(before.values())))
        found = encoder(torch.from_numpy(np.searchsorted(used, subwords.numpy())), mask, word_shape_ids)
        encoder.embedding.weight += 1
        encoder.restore_vocabulary()
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-6, rtol=0)
    changed = [name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])]
    assert len(changed) == 1
    assert (encoder.state_dict()[changed[0]] != before[changed[0]]).all(1).nonzero()[:, 0].tolist() == used.tolist()
    encoder.load_state_dict(before)


def test_a_vocabulary_with_markers_is_pruned_restored_saved_and_loaded(tiny_bert: Path, tmp_path: Path) -> None:
    for kind, spec in SETTINGS.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder, tokenizer = build(settings_of(**spec), tiny_bert, ROWS)
            before, plain = encoder.embedding.weight.detach().clone(), batch(tokenizer, ROWS)
            hidden = encoder.eval()(*plain)
            tokenizer.add_markers(["[E1]", "[/E1]"])
            encoder.grow_vocabulary(tokenizer.size)
            encoder.grow_vocabulary(tokenizer.size - 1)
        assert encoder.vocabulary == encoder.embedding.num_embeddings == len(encoder.embedding.weight) == tokenizer.size == len(before) + 2
        assert torch.equal(encoder.embedding.weight[:-2], before), kind
        assert torch.equal(encoder(*plain), hidden)
        grown = encoder.embedding.weight.detach().clone()
        assert not torch.equal(grown[-1], grown[-2])
        assert ((grown[-2:] - before.mean(0)).abs() < 6 * before.std(0)).all()
        rows: list[Any] = [[Marker("[E1]"), "fox", Marker("[/E1]"), "jumps"]]
        inputs, used = batch(tokenizer, rows), np.unique(tokenizer.encode(rows, 32).subwords)
        expected = encoder(*inputs)
        encoder.prune_vocabulary(used)
        with pytest.raises(RuntimeError, match="pruned"):
            encoder.grow_vocabulary(999)
        found = encoder(torch.from_numpy(np.searchsorted(used, inputs[0].numpy())), *inputs[1:])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        encoder.embedding.weight.data += 1
        assert encoder.vocabulary == tokenizer.size
        encoder.restore_vocabulary()
        changed = (encoder.embedding.weight != grown).all(1).nonzero()[:, 0].tolist()
        assert changed == used.tolist()
        assert set(changed) >= {tokenizer.size - 2, tokenizer.size - 1}
        tokenizer.save(tmp_path / "tokenizer.json")
        again, loaded = restore(json.loads(json.dumps(encoder.config())), tmp_path / "tokenizer.json")
        again.load_state_dict(encoder.state_dict(), strict=True)
        assert torch.equal(again.eval()(*batch(loaded, rows)), encoder(*inputs))


def test_small_encoders_see_the_separator_only(built: Built) -> None:
    encoder, tokenizer = built
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    with torch.no_grad():
        same = torch.equal(encoder(subwords, mask, word_shape_ids, None, mask.long()), encoder(subwords, mask, word_shape_ids))
    assert same == (encoder.config()["type"] != "transformer")


def test_an_output_pools_once_and_knows_named_positions() -> None:
    subwords, mask = (
        torch.tensor([[2, 9, 5, 9], [2, 5, 5, 9], [5, 8, 9, 8]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]).bool(),
    )
    calls: list[int] = []

    def pool(states: Tensor, mask: Tensor) -> Tensor:
        calls.append(1)
        return mean_pool(states, mask)

    states = torch.arange(24.0).view(3, 4, 2)
    positions = marker_positions(subwords, mask, {"nine": 9, "eight": 8, "seven": 7})
    assert {name: place.tolist() for name, place in positions.items()} == {"nine": [1, -1, -1], "eight": [-1, -1, 1], "seven": [-1] * 3}
    output = EncoderOutput(states, mask, np.full(mask.shape, -1), pool, positions=positions)
    assert output.at("nine").tolist() == [[2, 3], [0, 0], [0, 0]]
    assert output.pooled is output.pooled
    assert (calls, output.pooled.tolist()) == ([1], [[3, 4], [10, 11], [17, 18]])
    assert EncoderOutput(states, mask, torch.full(mask.shape, -1), pool).segment_ids is None


def test_restored_it_is_the_same(built: Built, tmp_path: Path) -> None:
    encoder, tokenizer = built
    tokenizer.save(tmp_path / "tokenizer.json")
    before = torch.random.get_rng_state()
    again, loaded = restore(json.loads(json.dumps(encoder.config())), tmp_path / "tokenizer.json")
    assert torch.equal(before, torch.random.get_rng_state())
    again.load_state_dict(encoder.state_dict(), strict=True)
    again.eval()
    with torch.no_grad():
        assert torch.equal(again(*batch(loaded, ROWS)), encoder(*batch(tokenizer, ROWS)))
    assert (again.width, again.config()) == (encoder.width, encoder.config())


def test_layers_hold_every_parameter_once(built: Built) -> None:
    encoder, _ = built
    held = [id(parameter) for group in encoder.layers() for parameter in group]
    assert sorted(held) == sorted(id(parameter) for parameter in encoder.parameters())
    assert len(encoder.layers()) > 1


def test_every_parameter_gets_a_gradient(built: Built) -> None:
    encoder, tokenizer = built
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    hidden = encoder(subwords, mask, word_shape_ids)
    weights = torch.randn(encoder.width, generator=torch.Generator().manual_seed(0))
    ((hidden + encoder.pool(hidden, mask)[:, None])[mask] @ weights).sum().backward()
    without = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    encoder.zero_grad()
    assert without == []


def test_word_shapes_change_hidden_states(built: Built) -> None:
    encoder, tokenizer = built
    with torch.no_grad():
        upper, lower = (encoder(*batch(tokenizer, [[word]])) for word in ("PARIS", "paris"))
    assert not torch.allclose(upper, lower, atol=1e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_equal_seeds_give_equal_weights(name: str, tiny_bert: Path) -> None:
    states = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            states.append(build(settings_of(**SETTINGS[name]), tiny_bert, ROWS)[0].state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "transformer"])
def test_small_encoders_learn(name: str) -> None:
    # The order of words decides the class, which a bag of words, an encoder without a window, cannot tell.
    rows = [["a", "x", "b"], ["b", "x", "a"], ["a", "x", "b", "b"], ["b", "x", "a", "a"]]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder, tokenizer = build(settings_of(**SETTINGS[name], dropout=0.0), None, rows)
        head = nn.Linear(encoder.width, 2)
    inputs, targets = batch(tokenizer, rows), torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(encoder.pool(encoder(*inputs), inputs[1])), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (loss.item() < 0.05) == (name != "fnn without window")


def test_the_transformer_is_the_published_one(tiny_bert: Path) -> None:
    encoder, tokenizer = build(settings_of(**SETTINGS["transformer"], dropout=0.3), tiny_bert, [])
    subwords, mask, word_shape_ids = batch(tokenizer, ROWS)
    reference = AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        expected = reference(input_ids=subwords, attention_mask=mask.long()).last_hidden_state
        found = encoder.eval()(subwords, mask, word_shape_ids)  # the shape embedding is zero at the start
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-6, rtol=0)
    rates = {name: module.p for name, module in encoder.named_modules() if isinstance(module, nn.Dropout)}
    assert rates
    assert all(p == (0.0 if name.endswith("attention.self.dropout") else 0.3) for name, p in rates.items())
    assert not any("pooler" in name for name in encoder.state_dict())


def test_without_word_shapes_there_is_no_embedding_of_them(tiny_bert: Path) -> None:
    encoder, _ = build(settings_of(**SETTINGS["transformer"], word_shape=False), tiny_bert, [])
    assert not any(name.startswith("word_shape_ids") for name in encoder.state_dict())
    assert restore(encoder.config(), tiny_bert / "tokenizer.json")[0].config() == encoder.config()


def test_pooling_is_the_mean_or_the_first_position(tiny_bert: Path) -> None:
    for pooling, expected in (("mean", [[2.0, 3.0], [1.0, 2.0]]), ("first", [[0.0, 1.0], [1.0, 2.0]])):
        encoder, _ = build(settings_of(**SETTINGS["transformer"], pooling=pooling), tiny_bert, [])
        again, _ = restore(json.loads(json.dumps(encoder.config())), tiny_bert / "tokenizer.json")
        hidden = torch.tensor([[[0.0, 1.0], [4.0, 5.0]], [[1.0, 2.0], [9.0, 9.0]]])
        mask = torch.tensor([[True, True], [True, False]])
        for one in (encoder, again):
            assert one.pool(hidden, mask).tolist() == expected
            looked = one.pooled(mask)
            assert torch.equal(one.pool(hidden * looked.unsqueeze(-1), mask), torch.tensor(expected))
            assert looked.sum() == (3 if pooling == "mean" else 2)


def test_models_saved_without_a_pooling_use_the_mean(tiny_bert: Path) -> None:
    encoder, _ = build(settings_of(**SETTINGS["transformer"], pooling="mean"), tiny_bert, [])
    config = {key: value for key, value in encoder.config().items() if key != "pooling"}
    assert restore(config, tiny_bert / "tokenizer.json")[0].config() == encoder.config()


def test_weights_in_half_precision_are_read_as_float32(tiny_bert: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(tiny_bert, dtype=torch.float16).save_pretrained(tmp_path)
    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    encoder, _ = build(settings_of(**SETTINGS["transformer"]), tmp_path, [])
    again, _ = restore(encoder.config(), tmp_path / "tokenizer.json")
    assert {p.dtype for p in [*encoder.parameters(), *again.parameters()]} == {torch.float32}


def test_a_folder_with_a_vocabulary_only(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "bert")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"{subword}\n" for subword in sorted(vocabulary, key=vocabulary.get)))
    _, found = build(settings_of(**SETTINGS["transformer"]), folder, [])
    expected = SubwordTokenizer.load(tiny_bert / "tokenizer.json")
    assert found.encode(ROWS, 32).subwords.tolist() == expected.encode(ROWS, 32).subwords.tolist()


def roberta(folder: Path) -> None:
    SubwordTokenizer.train(ROWS, 300).save(folder / "tokenizer.json")
    config = RobertaConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=34
    )
    RobertaModel(config).save_pretrained(folder)


def test_roberta_keeps_two_positions_to_itself(tmp_path: Path) -> None:
    roberta(tmp_path)
    encoder, tokenizer = build(settings_of(**SETTINGS["transformer"]), tmp_path, [])
    inputs = batch(tokenizer, [["fox"] * 60, ["a"]])
    assert inputs[0].shape == (2, 32)
    reference = AutoModel.from_pretrained(tmp_path).eval()
    subwords = inputs[0].masked_fill(~inputs[1], reference.config.pad_token_id)
    with torch.no_grad():
        expected = reference(input_ids=subwords, attention_mask=inputs[1].long()).last_hidden_state
        torch.testing.assert_close(encoder.eval()(*inputs)[inputs[1]], expected[inputs[1]], atol=1e-6, rtol=0)
    with pytest.raises(EncoderError, match="max_length is 33, but the model has 32 positions"):
        build(settings_of(**{**SETTINGS["transformer"], "max_length": 33}), tmp_path, [])


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def unknown_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nonesuch"}')


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damaged_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")


def missing_weights(folder: Path) -> None:
    spec = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**spec, "num_hidden_layers": 3}))


def wrong_sizes(folder: Path) -> None:
    spec = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**spec, "intermediate_size": 48}))


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def too_large_tokenizer(folder: Path) -> None:
    SubwordTokenizer.train([], 300).save(folder / "tokenizer.json")


def decoder(folder: Path) -> None:
    GPT2Model(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=1)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_config, "config.json is missing"),
        (broken_config, "config.json: cannot be used"),
        (unknown_model, "nonesuch"),
        (pickled_weights, r"no \*\.safetensors .*pytorch_model\.bin"),
        (damaged_weights, "weights cannot be read"),
        (missing_weights, r"16 weight\(s\) missing, such as encoder\.layer\.2"),
        (wrong_sizes, "weights cannot be read"),
        (no_tokenizer, "neither tokenizer.json nor any of vocab.txt"),
        (too_large_tokenizer, "subwords, but the model embeds"),
        (decoder, "model_type 'gpt2' is not an encoder"),
    ],
)
def test_a_folder_that_is_no_encoder_is_named(damage: Callable[[Path], None], message: str, tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    damage(folder)
    with pytest.raises(EncoderError, match=message) as caught:
        build(settings_of(**SETTINGS["transformer"]), folder, [])
    assert str(folder) in str(caught.value)


def test_more_positions_than_the_model_has(tiny_bert: Path) -> None:
    with pytest.raises(EncoderError, match="max_length is 65, but the model has 64 positions"):
        build(settings_of(**{**SETTINGS["transformer"], "max_length": 65}), tiny_bert, [])


def test_an_unknown_type_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=", ".join(plugins.names(plugins.ENCODERS))):
        restore({"type": "nonesuch"}, tmp_path)
