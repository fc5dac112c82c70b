"""One encoder with a head for each task."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mtl.decoders import Decoder
from mtl.encoders import Encoder, SubwordTokenizer
from mtl.encoders.base import ByTask, EncoderOutput, marker_positions
from mtl.encoders.cheap import make_cheap
from mtl.model.batch import Batch
from mtl.model.device import MICRO_BATCH, PACKED_MICRO_BATCH
from mtl.model.micro_batches import Rows, micro_batches
from mtl.seeds import seed_of
from mtl.tasks.base import Positions, TaskType


class Model(nn.Module):
    """An encoder and the heads of its tasks."""

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: SubwordTokenizer,
        tasks: Mapping[str, TaskType],
        *,
        max_length: int,
        dropout: float,
        seed: int = 0,
        decoder: Decoder | None = None,
    ) -> None:
        """Heads are drawn from the seed and the task's name: alone or joint, a task starts from the same head."""
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.tasks = dict(tasks)
        self.max_length = max_length
        self.markers = tokenizer.markers(name for task in self.tasks.values() for name in task.markers)
        """Vocabulary index of each marker."""
        self.dropout = dropout
        self.decoder = decoder
        """Of the tasks that write; None if none does."""
        heads = {}
        for task in self.tasks.values():
            if decoder is not None and task.writes:
                task.use_decoder(decoder)
        with torch.random.fork_rng(devices=[]):
            for name, task in self.tasks.items():
                torch.manual_seed(seed_of("head", seed, name))
                heads[name] = task.head(decoder.width if decoder and task.writes else encoder.width, dropout)
        self.heads = ByTask(heads)
        make_cheap(self)
        encoder.branch(self.tasks)

    def forward(self, batch: Batch, tasks: Iterable[str]) -> dict[str, Tensor]:
        """The outputs of the heads, by task."""
        packs = self.encoder.packs(batch.mask.device)  # elsewhere all positions are computed, whatever a head needs
        markers = self._marker_positions(batch)
        needed = {name: self._needed(batch, name, markers) if packs else batch.mask for name in tasks}
        states = self.encoder.by_task(batch.subwords, batch.mask, batch.word_shape_ids, needed, batch.rows, batch.segment_ids)
        # Tasks that share all layers share their hidden states too, which are then pooled once.
        outputs = {id(own): self._output(batch, own, markers) for own in states.values()}
        return {name: self._logits(batch, name, outputs[id(own)]) for name, own in states.items()}

    def _logits(self, batch: Batch, task: str, output: EncoderOutput) -> Tensor:
        """The output of a head. Tasks that write are given the rows and targets that they have in this batch."""
        head, targets = self.heads[task], batch.targets.get(task)
        if not self.tasks[task].writes:
            logits: Tensor = head(output)
        elif task not in batch.rows:
            logits = head(output.states, output.mask, self.decoder, subwords=batch.subwords)
        else:
            rows = batch.rows[task]
            own = None if targets is None else targets[rows]
            logits = head(output.states[rows], output.mask[rows], self.decoder, own, batch.subwords[rows])
        return logits

    def embed(self, batch: Batch, task: str) -> Tensor:
        """The pooled text as a task's head receives it, ``[rows, width]``."""
        needed = self.encoder.pooled(batch.mask) if self.encoder.packs(batch.mask.device) else batch.mask
        states = self.encoder.by_task(batch.subwords, batch.mask, batch.word_shape_ids, {task: needed}, batch.rows, batch.segment_ids)
        return self._output(batch, states[task], {}).pooled

    def surprise(self, batch: Batch, task: str) -> Tensor:
        """The summed negative log-probability (nats) of each row's target text, float32 ``[rows]``; one row is computed at a time."""
        assert self.decoder is not None
        needed = {task: batch.mask}
        states = self.encoder.by_task(batch.subwords, batch.mask, batch.word_shape_ids, needed, batch.rows, batch.segment_ids)[task]
        start, targets = self.heads[task].start, batch.targets[task]
        rows = [(targets[i, None], states[i, None], batch.mask[i, None]) for i in range(len(targets))]
        return torch.stack([self.decoder.loss_sum(start, *row, label_smoothing=0.0) for row in rows])

    def _output(self, batch: Batch, states: Tensor, markers: Mapping[str, Tensor]) -> EncoderOutput:
        return EncoderOutput(states, batch.mask, batch.word_ids, self.encoder.pool, batch.segment_ids, markers)

    def _marker_positions(self, batch: Batch) -> dict[str, Tensor]:
        """By marker, its position in each row, int64 ``[rows]``."""
        if not self.markers:
            return {}
        kept = self.encoder.kept
        own = {name: int(np.searchsorted(kept, index)) for name, index in self.markers.items()} if len(kept) else self.markers
        return marker_positions(batch.subwords, batch.mask, own)

    def _needed(self, batch: Batch, task: str, markers: Mapping[str, Tensor]) -> Tensor:
        """The positions whose states a head uses, bool ``[rows, positions]``; of a batch with targets, only for labelled items."""
        first = batch.first(self.tasks[task].field)
        needed = self.tasks[task].positions(Positions(self.encoder.pooled(batch.mask), first, markers, batch.mask))
        if task not in batch.targets:
            return needed
        known = self.tasks[task].labelled(batch.targets[task])
        return needed & known.unsqueeze(1) if known.ndim == 1 else known

    def fuse(self, dtype: torch.dtype = torch.float32) -> bool:
        """Prepare for prediction on a CPU: see ``Encoder.fuse``. A decoder's products are float32 where the encoder's are int8."""
        prepared, int8 = self.encoder.fuse(dtype), dtype == torch.int8
        if self.decoder is not None and (prepared or not int8):
            self.decoder.fuse(torch.float32 if int8 else dtype)
        return prepared

    def own(self, task: str) -> list[nn.Parameter]:
        """What is learnt for one task alone: its head, what the encoder has for it, and the decoder if no other task writes."""
        decoder = self._decoder_parameters() if self.tasks[task].writes and not self._decoder_is_shared else []
        return [p for p in (*self.heads[task].parameters(), *self.encoder.own(task), *decoder) if p.requires_grad]

    def shared(self) -> list[nn.Parameter]:
        """What several tasks learn: the encoder without the tasks' own layers, and the decoder if several tasks write."""
        own = {id(p) for task in self.tasks for p in self.own(task)}
        decoder = self._decoder_parameters() if self._decoder_is_shared else []
        return [p for p in (*self.encoder.parameters(), *decoder) if p.requires_grad and id(p) not in own]

    @property
    def _decoder_is_shared(self) -> bool:
        return sum(task.writes for task in self.tasks.values()) > 1

    def _decoder_parameters(self) -> list[nn.Parameter]:
        return [] if self.decoder is None else list(self.decoder.parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def micro_batches(self, lengths: npt.NDArray[np.integer], limit: int | None = None, overhead: int | None = None) -> list[Rows]:
        """Cut rows into micro-batches as suits the encoder and the device; see ``batching.micro_batches``."""
        packed = self.encoder.packs(self.device)
        usual = PACKED_MICRO_BATCH if packed else MICRO_BATCH[self.device.type]
        return micro_batches(lengths, limit or usual[0], usual[1] if overhead is None else overhead, packed=packed)

    def computed(self, batch: Batch) -> int:
        """Positions that the encoder computes for a batch, padding included where it computes that."""
        return batch.real if self.encoder.packs(self.device) else batch.mask.numel()
