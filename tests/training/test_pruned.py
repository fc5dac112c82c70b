"""Training with a pruned vocabulary: the same learning, and the subwords that do not occur stay as they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mtl.config import Params
from mtl.model.device import Precision
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.splits import read_splits

from .loops import quiet


def test_it_learns_the_same(project: Path, make_settings: Callable[..., Params]) -> None:
    params = make_settings(weight_decay=0.0)
    run = params.runs()["joint-augmented-1"]
    splits = read_splits(params, run, project / "examples", project / "shards")

    def trained(whole: bool) -> Loop:
        with torch.random.fork_rng():
            loop = prepare(params, run, splits, None, Precision("fp32", torch.device("cpu")))[0]
            if whole:
                loop.model.encoder.restore_vocabulary()
                corpora = (loop.feed.data.train, loop.feed.data.validation)
                train, validation = (replace(corpus, encoded=replace(corpus.encoded, numbers=None)) for corpus in corpora)
                data = replace(loop.feed.data, train=train, validation=validation)
                loop = Loop(loop.model, data, params.train, loop.gradients.balancer.weights, run.seed, loop.precision)
            quiet(loop)
        return loop

    pruned = trained(whole=False).model.encoder
    assert pruned.embedding.num_embeddings == len(pruned.kept) < 300
    unused = sorted(set(range(300)) - set(pruned.kept.tolist()))
    pruned.restore_vocabulary()
    whole = trained(whole=True).model.encoder
    for (name, result), expected in zip(pruned.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-5, msg=name)
    # Without decay the whole one leaves alone what has no gradient.
    assert torch.equal(pruned.embedding.weight[unused], whole.embedding.weight[unused])
