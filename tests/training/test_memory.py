"""When memory runs out, a step is cut smaller and nothing else changes."""

import logging

import pytest
import torch

from mtl.errors import TrainingError

from .loops import MakeLoop, break_loss, quiet, shrink_memory


@pytest.mark.parametrize("balancing", ["static", "gradient_norm"])
def test_out_of_memory_cuts_the_step_smaller_and_changes_nothing(
    make_loop: MakeLoop, balancing: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop, plain = (make_loop(balancing=balancing, micro_batch_tokens=10_000) for _ in range(2))
    sizes = shrink_memory(loop, 60)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for each in (loop, plain):
                each._step()
                each.progress.step += 1
    limit = loop.feed.limit
    assert 15 < limit <= 60
    assert sum(size > 60 for size in sizes) <= 3  # later steps do not try again
    for (name, weight), other in zip(loop.model.named_parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-4, msg=name)
    used, expected = loop.progress.usage, plain.progress.usage
    assert (used.tokens, used.rows, loop.progress.updates) == (expected.tokens, expected.rows, 3)
    message = f"the memory of cpu ran out, so micro-batches were cut to {limit} subwords, which changes only dropout masks; set train"
    # A measuring step has smaller batches than the plain one after it, in which memory may run out once more.
    assert [record.getMessage().startswith(message) for record in caplog.records] == [False, True]
    assert [warning.startswith(message) for warning in loop.warnings()] == [True]
    assert plain.warnings() == []


def test_out_of_memory_draws_the_masks_of_the_smaller_cut(make_loop: MakeLoop) -> None:
    """So a resumed run, which knows the limit from its checkpoint, is the same run."""
    loop, knowing = make_loop(encoder__dropout=0.5), make_loop(encoder__dropout=0.5)
    shrink_memory(loop, 60)
    loop._step()
    knowing.feed.limit = loop.feed.limit
    knowing._step()
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), knowing.model.parameters(), strict=True))


def test_a_lost_loss_is_counted_once_where_memory_runs_out_too(make_loop: MakeLoop) -> None:
    loop, clean = (make_loop(micro_batch_tokens=10_000) for _ in range(2))
    break_loss(loop, "rating", {0})
    sizes, enough = shrink_memory(loop, 60), shrink_memory(clean, 60)
    loop._step()
    clean._step()
    assert (loop.progress.lost, loop.progress.updates) == ({"rating": 1}, 1)
    # Done again without the lost task, the step keeps the cut that fits.
    assert [size for size in sizes if size > 60] == [size for size in enough if size > 60] != []


def test_a_row_that_does_not_fit_by_itself_is_an_error(make_loop: MakeLoop) -> None:
    loop = make_loop()
    sizes = shrink_memory(loop, 2)
    with pytest.raises(
        TrainingError,
        match=r"step 1 of \d+: the memory of cpu does not suffice even for one row at a time \(the longest has \d+ subwords\): "
        r"lower encoder\.max_length \(32\).*\(CUDA out of memory\. Tried to allocate 2\.00 GiB\.\)$",
    ):
        loop._step()
    assert len(sizes) < 12


def test_out_of_memory_in_a_trial_costs_its_figure_only(make_loop: MakeLoop) -> None:
    sizes = [
        max(batch.mask.numel() for batch in make_loop(micro_batch_tokens=10_000)._batches(apart=apart).batches) for apart in (True, False)
    ]
    loop, plain = (make_loop(balancing="upgrad", micro_batch_tokens=10_000, eval_every=1000) for _ in range(2))
    shrink_memory(loop, sum(sizes) // 2)
    for each in (loop, plain):
        quiet(each)
    assert loop.progress.step == plain.progress.step == loop.steps
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), plain.model.parameters(), strict=True))
    assert sizes[0] < sizes[1]
