"""Any Hugging Face encoder: a folder with ``config.json``, safetensors weights and a tokenizer."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from mtl.config import BaseEncoder
from mtl.config import TransformerEncoder as TransformerSettings
from mtl.data import model_files
from mtl.encoders import fused, probes
from mtl.encoders.base import ByTask, Encoder, Layers, mean_pool, shape_embedding
from mtl.encoders.bert import Bert, fits
from mtl.encoders.cheap import make_cheap
from mtl.encoders.packing import SELECTED, Packed, Runs, attend_at, attend_once, packed_attention
from mtl.encoders.products import setting
from mtl.encoders.tokenizer import SubwordTokenizer, parse_tokenizer, without_panic_message
from mtl.errors import EncoderError, one_line
from mtl.lazy import lazy

if TYPE_CHECKING:
    import transformers
else:
    transformers = lazy("transformers")

HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout", "dropout_rate")
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
PACKING = {"albert", "bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"}
"""Model types whose layers see other positions only through attention, take positions as an argument and pass other arguments on to
attention: all that ``packing`` needs. Tests compare each of them packed and padded."""
VOCABULARIES = ("vocab.txt", "vocab.json", "spm.model", "sentencepiece.bpe.model", "spiece.model")
"""Vocabulary files that a tokenizer is made from where ``tokenizer.json`` is missing."""


class Part(NamedTuple):
    """The part of a batch that a task's own layers compute."""

    rows: Tensor
    """The rows, or the packed positions."""
    packed: Packed | None = None
    """The rows of these positions."""
    selected: Tensor | None = None
    """Those of these positions that the last layer computes."""


PARTS: ContextVar[tuple[Mapping[str, Part], dict[str, Tensor]]] = ContextVar("parts")
"""By task, what its own layers compute in the present thread's forward pass, and their hidden states."""


class TransformerEncoder(Encoder):
    """A pretrained transformer without its pooler, with an optional word-shape embedding added to the word embeddings."""

    has_decoder = False
    """Whether its source has a decoder too."""

    def __init__(self, model: Any, *, word_shape: bool, pooling: str = "mean", task_layers: int = 0) -> None:
        super().__init__()
        # Text heads pool by themselves; an unused pooler would only be carried, decayed and saved.
        if isinstance(getattr(model, "pooler", None), nn.Module):
            model.pooler = None
        make_cheap(model)
        self.model: nn.Module = model
        self.width = int(model.config.hidden_size)
        self.pooling, self.task_layers = pooling, task_layers
        self._branches: tuple[Branches, ...] = ()  # modules in a tuple are not registered twice
        self.word_shape_ids = shape_embedding(int(model.get_input_embeddings().embedding_dim)) if word_shape else None
        self._embeds_types = getattr(model.config, "type_vocab_size", 0) > 1 and "token_type_ids" in signature(model.forward).parameters
        model_type, own = model.config.model_type, isinstance(model, Bert)
        self._attention = "packed" if own else ""
        self._packs = model_type in PACKING and (own or probes.available("packing", model_type))
        # ALBERT's stack does not have this module: its layers share their weights, and each computes all positions.
        attention: Any = getattr(self._stack()[-1], "attention", None)
        self._prunes_last_layer = self._packs and attention is not None and (own or probes.available("last_layer", model_type))
        if self._prunes_last_layer:
            attention.self.__class__ = _pruned(type(attention.self))
            attention.output.register_forward_pre_hook(_prune_residual)

    @classmethod
    def build(cls, settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Self, SubwordTokenizer]:
        """Load weights and tokenizer from a folder.

        Raises:
            EncoderError: the folder is not an encoder, or ``max_length`` is more than it can take.
        """
        if not isinstance(settings, TransformerSettings) or source is None:
            raise EncoderError("an encoder of type transformer needs the folder of its source")
        with one_line(EncoderError, f"{source}: cannot be used as an encoder"):
            config = _read_config(source)
            set_dropout(config, settings.dropout)
            tokenizer = subword_tokenizer(source)
            model = read_model(source, config)
            check(source, model, tokenizer, settings.max_length)
            encoder = cls(model, word_shape=settings.word_shape, pooling=settings.pooling, task_layers=settings.task_layers)
            encoder._check_task_layers(source)
            return encoder, tokenizer

    @classmethod
    def restore(cls, config: Mapping[str, Any]) -> Self:
        """The same architecture. The caller loads the weights."""
        kept = dict(config["model"])
        model_config = transformers.AutoConfig.for_model(kept.pop("model_type"), **kept)
        auto: Any = transformers.AutoModel  # transformers leaves this method untyped
        return cls._around(auto.from_config(model_config, dtype=torch.float32), config)

    @classmethod
    def restore_to_fuse(cls, config: Mapping[str, Any]) -> Self:
        """See ``Encoder.restore_to_fuse``. It does without transformers if it can."""
        if cls is not TransformerEncoder or not fused.available() or not fits(config["model"]):
            return cls.restore(config)
        return cls._around(Bert(config["model"]), config)

    @classmethod
    def _around(cls, model: Any, config: Mapping[str, Any]) -> Self:
        more = {"pooling": config.get("pooling", "mean"), "task_layers": config.get("task_layers", 0)}
        return cls(model, word_shape=config["word_shape"], **more)

    def config(self) -> dict[str, Any]:
        """The Hugging Face configuration, whether there is a word-shape embedding, how texts are pooled, and the layers that tasks own."""
        config: Any = self.model.config
        model = json.loads(config.to_json_string(use_diff=False))
        more = {"word_shape": self.word_shape_ids is not None, "pooling": self.pooling, "task_layers": self.task_layers}
        return {"type": "transformer", "model": model, **more}

    def forward(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Hidden states; see ``Encoder.forward``."""
        if not self.packs(mask.device):
            return self.padded(subwords, mask, word_shape_ids, segment_ids)
        packed = Packed.of(mask)
        chosen = packed.pack(selected).nonzero().squeeze(1) if selected is not None and self._prunes_last_layer else None
        return packed.unpack(self._packed(subwords, word_shape_ids, packed, chosen, segment_ids), chosen)

    def by_task(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Mapping[str, Tensor],
        rows: Mapping[str, Tensor],
        segment_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """See ``Encoder.by_task``."""
        if not self._branches:
            return super().by_task(subwords, mask, word_shape_ids, selected, rows, segment_ids)
        states: dict[str, Tensor] = {}
        if self.packs(mask.device):
            packed = Packed.of(mask)
            chosen = {task: packed.pack(positions).nonzero().squeeze(1) for task, positions in selected.items()}
            parts = {task: _part(packed, own) for task, own in chosen.items() if len(own)}
            if parts:
                with setting(PARTS, (parts, states)):
                    self._packed(subwords, word_shape_ids, packed, None, segment_ids)
            return {
                task: packed.unpack(states[task][0], own) if task in states else torch.zeros(*mask.shape, self.width)
                for task, own in chosen.items()
            }
        every = torch.arange(mask.shape[0], device=mask.device)
        parts = {task: Part(rows.get(task, every)) for task in selected}
        with setting(PARTS, (parts, states)):
            self.padded(subwords, mask, word_shape_ids, segment_ids)
        return {task: own.new_zeros(*mask.shape, self.width).index_copy(0, parts[task].rows, own) for task, own in states.items()}

    def branch(self, tasks: Iterable[str]) -> None:
        """See ``Encoder.branch``."""
        if self.task_layers:
            stack = self._stack()
            branches = Branches(stack[-self.task_layers :], tasks, self.model.config)
            del stack[-self.task_layers :]
            stack.append(branches)
            self._branches = (branches,)

    def own(self, task: str) -> list[nn.Parameter]:
        """See ``Encoder.own``."""
        return [parameter for branches in self._branches for parameter in branches.copies[task].parameters()]

    def weights(self, task: str) -> dict[str, Tensor]:
        """The weights of a model of transformers that computes what this encoder does for a task, by their names there."""
        found = self.model.state_dict()
        for prefix, module in self.model.named_modules():
            if isinstance(module, Branches):
                stack, _, first = prefix.rpartition(".")
                own = f"{prefix}.copies.{task}."
                for name in [name for name in found if name.startswith(f"{prefix}.")]:
                    weight = found.pop(name)
                    if name.startswith(own):
                        number, _, rest = name.removeprefix(own).partition(".")
                        found[f"{stack}.{int(first) + int(number)}.{rest}"] = weight
        return found

    def packs(self, device: torch.device) -> bool:
        """Models that allow it are packed on a CPU, where a call costs little."""
        return device.type == "cpu" and self._packs

    def pad(self) -> None:
        """See ``Encoder.pad``."""
        if self._packs:
            self._attend_by("sdpa")
        self._packs = False

    def fuse(self, dtype: torch.dtype = torch.float32) -> bool:
        """See ``Encoder.fuse``."""
        done = any(isinstance(module, fused.FusedLayer) for module in self.modules())
        if done or not self._prunes_last_layer or not fused.available(dtype):
            return False
        for layers in (self._stack(), *(branches.copies[task] for branches in self._branches for task in branches.copies)):
            for i, layer in enumerate(layers):
                if not isinstance(layer, Branches):
                    layers[i] = fused.FusedLayer(layer, last=i == len(layers) - 1, dtype=dtype)
        return True

    def padded(self, subwords: Tensor, mask: Tensor, word_shape_ids: Tensor, segment_ids: Tensor | None) -> Tensor:
        """Hidden states ``[rows, positions, width]``, those of padding computed too."""
        if self._packs:
            self._attend_by("sdpa")
        model: Any = self.model
        embedded, types = self._embed(subwords, word_shape_ids), self._token_types(segment_ids)
        hidden: Tensor = model(inputs_embeds=embedded, attention_mask=mask.long(), **types).last_hidden_state
        return hidden

    def _packed(
        self, subwords: Tensor, word_shape_ids: Tensor, packed: Packed, selected: Tensor | None, segment_ids: Tensor | None
    ) -> Tensor:
        """The same ``[packed, width]``, without padding; the last layer computes only the selected packed positions, if given."""
        self._attend_by("packed")
        model: Any = self.model
        embedded, positions = self._embed(packed.pack(subwords), packed.pack(word_shape_ids)), packed.positions + _first_position(model)
        types = self._token_types(None if segment_ids is None else packed.pack(segment_ids)[None])
        with setting(SELECTED, selected):
            hidden: Tensor = model(inputs_embeds=embedded[None], position_ids=positions[None], packed=packed, **types).last_hidden_state
        return hidden[0]

    def _attend_by(self, implementation: str) -> None:
        if self._attention != implementation:  # a call goes through all modules
            model: Any = self.model
            transformers.AttentionInterface.register("packed", packed_attention)
            model.set_attn_implementation(implementation)
            self._attention = implementation

    def _token_types(self, segment_ids: Tensor | None) -> dict[str, Tensor]:
        """The argument for models that embed which field a subword is in; others see the separator only."""
        return {} if segment_ids is None or not self._embeds_types else {"token_type_ids": segment_ids}

    def _embed(self, subwords: Tensor, word_shape_ids: Tensor) -> Tensor:
        """Embeddings rather than indices go into the model: some models derive positions from the padding index, which rows may contain."""
        embedded: Tensor = self.embedding(subwords)
        return embedded if self.word_shape_ids is None else embedded + self.word_shape_ids(word_shape_ids)

    @property
    def embedding(self) -> nn.Embedding:
        """The embedding of the subwords."""
        model: Any = self.model
        embedding: nn.Embedding = model.get_input_embeddings()
        return embedding

    @property
    def positions(self) -> int | None:
        """See ``Encoder.positions``."""
        return _positions(self.model)

    def grow_vocabulary(self, size: int) -> None:
        """See ``Encoder.grow_vocabulary``; the model's configuration tells ``restore`` how many there are."""
        super().grow_vocabulary(size)
        model: Any = self.model
        model.config.vocab_size = self.vocabulary

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The mean over real positions, special ones included, as sentence encoders are trained; or the first one, as BERT is."""
        return mean_pool(hidden, mask) if self.pooling == "mean" else hidden[:, 0]

    def pooled(self, mask: Tensor) -> Tensor:
        """See ``Encoder.pooled``."""
        return mask if self.pooling == "mean" else mask & (torch.arange(mask.shape[1], device=mask.device) == 0)

    def _check_task_layers(self, source: Path) -> None:
        """The model must have the layers that tasks own, and be of a type whose layers can be copied."""
        if not self.task_layers:
            return
        model: Any = self.model
        if not self._prunes_last_layer:
            types = ", ".join(sorted(PACKING - {"albert"}))
            raise EncoderError(
                f"{source}: encoder.task_layers is {self.task_layers}, which a model of type {model.config.model_type} cannot "
                f"have; choose 0, or a model of type {types}"
            )
        if self.task_layers > (count := len(self._stack())):
            raise EncoderError(f"{source}: encoder.task_layers is {self.task_layers}, but the model has {count} layers")

    def _stack(self) -> nn.ModuleList:
        """The model's layers, from bottom to top."""
        return max((m for m in self.model.modules() if isinstance(m, nn.ModuleList)), key=_parameter_count)

    def layers(self) -> Layers:
        """Embeddings, then each layer of the largest stack, with all its copies, then what follows it, if anything."""
        groups = [list(layer.parameters()) for layer in self._stack() if not isinstance(layer, Branches)]
        for branches in self._branches:
            groups += [
                [p for layer in level for p in layer.parameters()]
                for level in zip(*map(branches.copies.__getitem__, branches.copies), strict=True)
            ]
        held = {id(parameter) for group in groups for parameter in group}
        every = list(self.model.parameters())
        start = next(i for i, parameter in enumerate(every) if id(parameter) in held)
        bottom = every[:start] + ([] if self.word_shape_ids is None else list(self.word_shape_ids.parameters()))
        top = [parameter for parameter in every[start:] if id(parameter) not in held]
        return [group for group in [bottom, *groups, top] if group]


class Branches(nn.Module):
    """Replaces the top layers of a stack: a copy of them for each task, on the same states."""

    def __init__(self, layers: nn.Module, tasks: Iterable[str], config: Any) -> None:
        """Copies share the model's configuration, which says how to attend, and changes."""
        super().__init__()
        self.copies = ByTask({task: copy.deepcopy(layers, {id(config): config}) for task in tasks})

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        """Run the layers of the tasks of ``PARTS``, whose states they keep there. Returns its input."""
        parts, results = PARTS.get()
        for task, part in parts.items():
            states, mask = hidden.index_select(0 if part.packed is None else 1, part.rows), attention_mask
            if part.packed is not None:
                kwargs = {**kwargs, "packed": part.packed}
            elif mask is not None:
                mask = mask.index_select(0, part.rows)
            with setting(SELECTED, part.selected):
                for layer in self.copies[task]:
                    states = layer(states, mask, *args, **kwargs)
            results[task] = states
        return hidden


def _part(packed: Packed, selected: Tensor) -> Part:
    """The rows that have one of some packed positions."""
    kept = torch.bincount(packed.rows[selected], minlength=len(packed.mask)) > 0
    part, positions, inner = packed.only(kept, selected)
    return Part(positions, part, inner)


def _pruned(attention: Any) -> Any:
    """A class of attention that computes the positions ``SELECTED`` only."""

    class Pruned(attention):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
            selected = SELECTED.get()
            if selected is None:
                result: tuple[Tensor, None] = super().forward(hidden_states, *args, **kwargs)
                return result
            attend, packed = super().forward, kwargs["packed"]

            def fully(states: Tensor, packed: Packed) -> Tensor:
                attended: Tensor = attend(states[None], **{**kwargs, "packed": packed})[0]
                return attended[0]

            def once(states: Tensor, positions: Tensor, runs: Runs) -> Tensor:
                query = self.query(states.index_select(0, positions)).unflatten(-1, (self.num_attention_heads, self.attention_head_size))
                # Softmax takes away what the bias of keys adds: its gradient is 0, but not missing.
                bias: Tensor = self.value.bias + 0 * self.key.bias
                return attend_once(query, self.key.weight, self.value.weight, states, runs, self.scaling) + bias

            if self.training and self.dropout.p:
                return fully(hidden_states[0], packed).index_select(0, selected)[None], None
            return attend_at(selected, hidden_states[0], packed, fully, once)[None], None

    return Pruned


def _prune_residual(module: nn.Module, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Of the states that the last layer adds to its attention, those at ``SELECTED``."""
    attended, residual = states
    selected = SELECTED.get()
    return (attended, residual if selected is None else residual.index_select(1, selected))


def _parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _read_config(folder: Path) -> transformers.PretrainedConfig:
    """The model's configuration, if it is that of an encoder."""
    config = read_config(folder)
    model_type = config.model_type
    auto = transformers.models.auto.modeling_auto
    decoder_only = model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if getattr(config, "is_encoder_decoder", False):
        raise EncoderError(f"{folder / 'config.json'}: model_type {model_type!r} has a decoder too; set encoder.type: encoder_decoder")
    if getattr(config, "is_decoder", False) or decoder_only:
        raise EncoderError(f"{folder / 'config.json'}: model_type {model_type!r} is not an encoder; choose a BERT-like model")
    return config


def read_config(folder: Path) -> transformers.PretrainedConfig:
    """The configuration of a model in a folder that may be read.

    Raises:
        EncoderError: it lacks a file, or has one that may not be read.
    """
    if not (folder / "config.json").is_file():
        raise EncoderError(f"{folder}: is not an encoder: config.json is missing")
    if not list(folder.glob("*.safetensors")):
        pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        raise EncoderError(
            f"{folder}: is not an encoder: no *.safetensors" + (f" (pickled weights are never read: {pickled})" if pickled else "")
        )
    with one_line(EncoderError, str(folder)):
        model_files.check(folder)
    with one_line(EncoderError, f"{folder / 'config.json'}: cannot be used"):
        auto: Any = transformers.AutoConfig
        config: transformers.PretrainedConfig = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return config


def set_dropout(config: transformers.PretrainedConfig, dropout: float) -> None:
    """Set the dropout of hidden states; that of attention is off: it costs 6-12 % of the time, and hidden dropout regularises enough."""
    for names, value in ((HIDDEN_DROPOUT, dropout), (ATTENTION_DROPOUT, 0.0)):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar and no table of unused weights: what matters is checked and raised."""
    library: Any = transformers.utils.logging  # untyped
    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()


def read_model(folder: Path, config: transformers.PretrainedConfig, auto: Any = None) -> Any:
    """The weights in float32, of ``AutoModel`` or another class; a weight that the folder lacks is an error, not a random one."""
    with one_line(EncoderError, f"{folder}: weights cannot be read"), quiet():
        model, info = (auto or transformers.AutoModel).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        raise EncoderError(f"{folder}: {len(missing)} weight(s) missing, such as {missing[0]}")
    return model


def subword_tokenizer(folder: Path) -> SubwordTokenizer:
    """See ``read_tokenizer``."""
    path = folder / "tokenizer.json"
    return SubwordTokenizer.load(path) if path.is_file() else SubwordTokenizer(read_tokenizer(folder))


def read_tokenizer(folder: Path) -> Tokenizer:
    """``tokenizer.json``, or a tokenizer made from an older type of vocabulary file.

    Raises:
        EncoderError: the folder has neither, or what it has cannot be read.
    """
    if (path := folder / "tokenizer.json").is_file():
        return parse_tokenizer(path)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise EncoderError(f"{folder}: is not an encoder: neither tokenizer.json nor any of {', '.join(VOCABULARIES)}")
    with one_line(EncoderError, f"{folder}: no tokenizer can be made from its vocabulary"), quiet(), without_panic_message():
        loaded = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        backend = getattr(loaded, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise EncoderError(f"{folder}: its tokenizer does not have a fast form (tokenizer.json)")
        return backend


def check(folder: Path, model: Any, tokenizer: SubwordTokenizer, max_length: int) -> None:
    """The length must fit the positions, the tokenizer the embeddings."""
    if not isinstance(model.get_input_embeddings(), nn.Embedding):
        raise EncoderError(f"{folder / 'config.json'}: model_type {model.config.model_type!r} does not read text; choose a BERT-like model")
    limit = _positions(model)
    if limit is not None and max_length > limit:
        raise EncoderError(f"{folder}: encoder.max_length is {max_length}, but the model has {limit} positions")
    rows = model.get_input_embeddings().num_embeddings
    if tokenizer.size > rows:
        raise EncoderError(f"{folder}: the tokenizer has {tokenizer.size} subwords, but the model embeds {rows}")


def _position_embedding(model: Any) -> nn.Embedding | None:
    named = model.named_modules()
    return next((m for name, m in named if name.endswith("position_embeddings") and isinstance(m, nn.Embedding)), None)


def _first_position(model: Any) -> int:
    """The index of a text's first position: RoBERTa and its like keep those up to the padding index to themselves."""
    embedding = _position_embedding(model)
    return 0 if embedding is None or embedding.padding_idx is None else embedding.padding_idx + 1


def _positions(model: Any) -> int | None:
    """How many positions the model can take; ``None`` if it knows no limit."""
    if (embedding := _position_embedding(model)) is not None:
        return embedding.num_embeddings - _first_position(model)
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit and limit > 0 else None
