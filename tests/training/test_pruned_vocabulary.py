"""Training with the embeddings of only those subwords that occur learns the same, and leaves the others as they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mtl.config import Params
from mtl.model.device import Precision
from mtl.training import run as runs
from mtl.training.loop import Loop


def test_it_learns_the_same(project: Path, make_settings: Callable[..., Params]) -> None:
    params = make_settings(weight_decay=0.0)
    run = params.runs()["joint-augmented-1"]
    rows = runs._read(params, run, project / "examples", project / "shards")

    def trained(whole: bool) -> Loop:
        with torch.random.fork_rng():
            loop = runs._prepare(params, run, rows, None, Precision("fp32", torch.device("cpu")))[0]
            if whole:
                loop.model.encoder.restore_vocabulary()
                corpora = (loop.data.train, loop.data.validation)
                train, validation = (replace(corpus, encoded=replace(corpus.encoded, numbers=None)) for corpus in corpora)
                data = replace(loop.data, train=train, validation=validation)
                loop = Loop(loop.model, data, params.train, loop.balancer.weights, run.seed, loop.precision)
            loop.run(lambda step, state: None, lambda: False, lambda step, line: None)
        return loop

    pruned = trained(whole=False).model.encoder
    assert pruned.embedding.num_embeddings == len(pruned.kept) < 300
    unused = sorted(set(range(300)) - set(pruned.kept.tolist()))
    pruned.restore_vocabulary()
    whole = trained(whole=True).model.encoder
    for (name, found), expected in zip(pruned.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5, msg=name)
    # Without decay the whole one leaves alone what has no gradient.
    assert torch.equal(pruned.embedding.weight[unused], whole.embedding.weight[unused])
