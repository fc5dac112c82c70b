"""Round trips through real models of the form of opus-mt, made here: tiny, with random weights."""

import json
import subprocess
import sys
from collections.abc import Callable
from operator import eq
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from mtl import config
from mtl.augment.back_translate import ENGINES, BackTranslateAugmenter
from mtl.augment.compat import TextAugmenter
from mtl.augment.ctranslate import CTranslate2Model
from mtl.augment.neural import RoundTrip, TransformersModel, in_batches
from mtl.augment.randomness import Stream
from mtl.config import BackTranslate, Source
from mtl.data import sources
from mtl.data.schema import write
from mtl.errors import AugmentError, SourceError
from mtl.jobs import augment_shard
from mtl.pipeline.stages import STAGES
from mtl.pipeline.stages import sources as downloads_of

from .rows import texts
from .test_shards import settings_of

TEXTS = ["I think that this film is good", "a dog", "Qzbaq went away", "a good film", "I went"]
WORDS = ["</s>", "<unk>", "Qzbaq", *sorted({word for text in TEXTS for word in text.split()} - {"Qzbaq"}), *"bcdefghij", "<pad>"]
"""More than sampling draws from; the padding comes last, as in opus-mt."""

engines = pytest.mark.parametrize("engine", ENGINES)


def make_model(folder: Path, spread: float = 0.7) -> Path:
    """A model with weights large enough for varied outputs."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    pad = len(WORDS) - 1
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"pad_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0, "decoder_start_token_id": pad}
    size = {"d_model": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 512, "vocab_size": len(WORDS)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MarianMTModel(MarianConfig(**layers, **ids, **size, init_std=spread))
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = make_model(tmp_path_factory.mktemp("model"))
    return Source(url=str(folder), sha256=sources.checksum(Source(url=str(folder))))


@pytest.fixture
def pickled(model: Source, tmp_path: Path) -> Path:
    """The same model with its weights in a pickle only."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in Path(model.url).iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    torch.save(load_file(Path(model.url) / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def round_trip(engine: str, model: Source, seed: int = 1) -> RoundTrip:
    return RoundTrip(ENGINES[engine], {"forward": model, "backward": model}, Stream(seed, "bt"))


@engines
def test_answers_are_reproducible_and_later_copies_are_sampled(engine: str, model: Source):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    first, again = round_trip(engine, model), round_trip(engine, model)
    copies = [first(TEXTS, copy) for copy in range(3)]
    assert [again(TEXTS, copy) for copy in (2, 0, 1)] == [copies[2], copies[0], copies[1]]
    assert all(len(outputs) == len(TEXTS) for outputs in copies)
    assert any(copies[0])
    assert copies[0] != copies[1] != copies[2]
    assert round_trip(engine, model, seed=2)(TEXTS, 1) != copies[1]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


@engines
def test_another_process_gives_the_same_answers(engine: str, model: Source):
    code = (
        "import json, sys; from mtl.augment.back_translate import ENGINES; from mtl.augment.neural import RoundTrip;"
        "from mtl.augment.randomness import Stream; from mtl.config import Source; source = Source(**json.loads(sys.argv[2]));"
        "trip = RoundTrip(ENGINES[sys.argv[1]], {'forward': source, 'backward': source}, Stream(1, 'bt'));"
        "print(json.dumps([trip(json.loads(sys.argv[3]), copy) for copy in (1, 0)]))"
    )
    command = [sys.executable, "-c", code, engine, model.model_dump_json(), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = round_trip(engine, model)
    assert json.loads(done.stdout.splitlines()[-1]) == [here(TEXTS, 1), here(TEXTS, 0)]


def test_both_engines_answer_alike(tmp_path: Path):
    """With weights of 32 bits they are equal, with 8 most words are; transformers counts the end of the text among the subwords."""
    random = Random(0)
    content = [" ".join(random.choices(WORDS[2:-1], k=random.randint(1, 8))) for _ in range(100)]
    make_model(tmp_path, 1.0)
    expected = TransformersModel(tmp_path, limit=lambda _: 6)(content, None)
    assert len(set(expected)) > 10
    assert CTranslate2Model(tmp_path, limit=lambda _: 5, weights="float32")(content, None) == expected
    small = CTranslate2Model(tmp_path, limit=lambda _: 5)(content, None)
    assert 20 < sum(map(eq, small, expected)) < 100


def test_texts_of_like_length_go_together_and_answers_keep_their_order():
    seen: list[list[str]] = []

    def translate(batch: list[str]) -> list[str]:
        seen.append(batch)
        return [text.upper() for text in batch]

    content = [("b" if i % 2 else "a") * (1 + i % 2) + str(i % 10) for i in range(70)]
    assert in_batches(content, translate) == [text.upper() for text in content]
    assert [len(batch) for batch in seen] == [32, 32, 6]
    assert {len(text) for text in seen[0]} == {2}
    assert in_batches([], translate) == []


@engines
def test_the_augmenter_accounts_for_every_row(engine: str, model: Source):
    spec = BackTranslate(type="back_translate", engine=engine, forward=model, backward=model, copies=2)
    assert BackTranslateAugmenter.available(spec, BackTranslateAugmenter.language) is None
    variants = BackTranslateAugmenter(spec, Stream(1, "bt")).augment(texts(*TEXTS[:2])).to_pylist()
    assert [(row["copy"], row["row"]) for row in variants] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@engines
def test_weights_in_a_pickle_are_refused(engine: str, model: Source, pickled: Path):
    source = Source(url=str(pickled), sha256=sources.checksum(Source(url=str(pickled))))
    with pytest.raises(AugmentError, match=r"augment\.methods\.bt\.forward: .*pytorch_model\.bin, are never read"):
        round_trip(engine, source)(TEXTS, 0)
    with pytest.raises(OSError, match="safetensors"):
        ENGINES[engine](pickled)


@engines
def test_a_wrong_sum_or_a_folder_without_a_model_is_an_error(engine: str, model: Source, tmp_path: Path):
    with pytest.raises(SourceError, match="forward"):
        round_trip(engine, Source(url=model.url, sha256="0" * 64))(TEXTS, 0)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    empty = Source(url=str(tmp_path), sha256=sources.checksum(Source(url=str(tmp_path))))
    with pytest.raises(AugmentError, match="cannot be loaded as a translation model"):
        round_trip(engine, empty)(TEXTS, 0)


@pytest.fixture
def downloaded(model: Source, tmp_path: Path) -> Callable[[str], config.Params]:
    """A data folder as the workflow leaves it for the shard job, and settings whose sources are gone since."""
    for name in ("forward", "backward"):
        make_model(tmp_path / "data" / "raw" / "model.bt" / name)
    write(texts(*TEXTS), tmp_path / "data" / "examples" / "d.parquet")
    gone = {"url": str(tmp_path / "gone"), "sha256": "0" * 64}
    return lambda engine: settings_of({"bt": {"type": "back_translate", "engine": engine, "forward": gone, "backward": gone}})


@engines
def test_the_workflow_uses_the_models_that_it_downloaded(engine: str, downloaded: Callable[[str], config.Params], tmp_path: Path):
    settings = downloaded(engine)
    assert downloads_of(settings)["model.bt"].keys() == {"forward", "backward"}
    (part,) = STAGES["augment"].jobs(settings)
    assert "raw/model.bt/*" in part.reads
    (tmp_path / "out").mkdir()
    augment_shard(settings, part.name, tmp_path / "data", tmp_path / "out")
    assert (tmp_path / "out" / f"{part.name}.parquet").is_file()


def test_outside_of_the_workflow_models_are_fetched_once(model: Source, monkeypatch: pytest.MonkeyPatch):
    fetched: list[str] = []
    fetch = sources.fetch

    def counting(source: Source, out: Path, **options: str) -> None:
        fetched.append(source.url)
        fetch(source, out, **options)

    monkeypatch.setattr(sources, "fetch", counting)
    augmenter = TextAugmenter(BackTranslate(type="back_translate", engine="transformers", forward=model, backward=model))
    assert len(augmenter.augment(TEXTS)) == len(TEXTS)
    assert len(augmenter.augment(TEXTS[0])) == 1
    assert fetched == [model.url, model.url]
