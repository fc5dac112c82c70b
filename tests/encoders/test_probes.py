"""Private names: all are found in the installed versions, and the public path beside each computes the same."""

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mtl
from mtl.encoders import fused, packing, probes
from mtl.encoders.products import has_int8_units
from mtl.encoders.transformer import PACKING, TransformerEncoder
from mtl.training import optimizers

from .test_packing import encoder_of, inputs, segments, selected_of

SOURCE = Path(mtl.__file__).parent
ABOUT: dict[str, list[tuple[Any, ...]]] = {
    "attention": [()],
    "fused_linear": [()],
    "int8_linear": [()],
    "fused_adam": [(optimizers.Adam,), (optimizers.AdamW,)],
    "packing": [(kind,) for kind in sorted(PACKING)],
    "last_layer": [(kind,) for kind in sorted(PACKING)],
}


@pytest.fixture
def fresh() -> Iterator[None]:
    """No check has run yet, nor will what this test's checks found be remembered."""
    probes._passes.cache_clear()
    yield
    probes._passes.cache_clear()


@pytest.mark.parametrize(("name", "about"), [(name, about) for name, every in ABOUT.items() for about in every])
def test_what_is_installed_has_the_private_names(name: str, about: tuple[Any, ...]) -> None:
    if name == "fused_linear" and not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        pytest.skip("a CPU that fused products are not used on")
    if name == "int8_linear" and not has_int8_units():
        pytest.skip("a CPU without instructions for products of 8-bit numbers")
    assert ABOUT.keys() == probes.PROBES.keys()
    assert probes.PROBES[name].check(*about)


def test_the_variable_takes_probes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {"attention": {"attention"}, "fused_adam,attention": {"attention", "fused_adam"}, "all": {*ABOUT}, "": set()}
    for value, gone in cases.items():
        monkeypatch.setenv(probes.VARIABLE, value)
        assert {name for name in ABOUT if not probes.available(name, *ABOUT[name][0])} - gone <= {"fused_linear", "int8_linear"}
        assert not any(probes.available(name, *ABOUT[name][0]) for name in gone)


def test_an_unknown_probe_is_an_error() -> None:
    with pytest.raises(KeyError):
        probes.available("nonesuch")


def wrong(result: Any) -> Any:
    return result * 1.01


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("how", ["missing", "wrong"])
@pytest.mark.parametrize(
    ("name", "owner", "attribute"),
    [
        ("attention", packing.FlashAttention, "forward"),
        ("attention", packing.FlashAttention, "backward"),
        ("fused_linear", fused.FusedLinear, "product"),
        ("int8_linear", fused.Int8Linear, "__init__"),
        ("int8_linear", fused.Int8Linear, "product"),
        ("fused_linear", fused.FusedLinear, "plus"),
        ("packing", packing, "attend"),
        ("last_layer", packing, "attend_once"),
    ],
)
def test_what_has_gone_or_changed_is_not_used(name: str, owner: Any, attribute: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl.encoders import transformer

    if name == "packing":
        monkeypatch.setenv(probes.VARIABLE, "attention")
    original = getattr(owner, attribute)

    def changed(*args: Any, **more: Any) -> Any:
        if how == "missing":
            raise AttributeError("gone")
        result = original(*args, **more)
        return tuple(part if part is None else wrong(part) for part in result) if isinstance(result, tuple) else wrong(result)

    for module in (owner, transformer):
        if hasattr(module, attribute):
            monkeypatch.setattr(module, attribute, staticmethod(changed) if owner is packing.FlashAttention else changed)
    assert not probes.available(name, *ABOUT[name][1 if name in ("packing", "last_layer") else 0])


class Renamed(optimizers.AdamW):
    """As with a torch that does not call the hook, or one that reads the divisor elsewhere."""

    def _init_group(self, group: dict[str, Any], *lists: Any) -> bool:
        return super(optimizers.Adam, self)._init_group(group, *lists)  # type: ignore[no-untyped-call, no-any-return]


def test_an_optimizer_without_the_hook_is_not_relied_on() -> None:
    assert not probes.available("fused_adam", Renamed)


@pytest.mark.usefixtures("fresh")
def test_checks_leave_no_trace_in_any_mode() -> None:
    before = torch.random.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert probes.available("attention")
        assert probes.available("fused_adam", optimizers.AdamW)
        assert probes.available("last_layer", "bert")
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


def results_of(encoder: TransformerEncoder, selected: Tensor | None) -> list[Tensor]:
    subwords, mask, word_shape_ids = inputs()
    encoder.zero_grad()
    kept = mask if selected is None else selected
    hidden = encoder(subwords, mask, word_shape_ids, selected, segments(mask))[kept]
    (hidden.square() * torch.linspace(0, 1, 16)).sum().backward()
    return [hidden.detach(), *(parameter.grad for parameter in encoder.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("forced", ["attention", "packing", "last_layer", "attention,last_layer", "all"])
@pytest.mark.parametrize("name", ["all", "the first of a row", "the first of a row, all of others, none of some"])
@pytest.mark.parametrize("kind", sorted(PACKING))
def test_public_paths_train_the_same(kind: str, name: str, forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    selected = selected_of(name, inputs()[1])
    expected = results_of(encoder_of(kind), selected)
    monkeypatch.setenv(probes.VARIABLE, forced)
    encoder = encoder_of(kind)
    padded = forced in ("packing", "all")
    assert encoder.packs(torch.device("cpu")) != padded
    for one, other in zip(results_of(encoder, selected), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("forced", ["fused_linear", "attention", "last_layer", "all"])
def test_public_paths_predict_the_same(forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert").eval(), inputs()
    private = copy.deepcopy(encoder)
    private.fuse()
    monkeypatch.setenv(probes.VARIABLE, forced)
    public = encoder_of("bert").eval()
    public.fuse()
    assert any(isinstance(module, fused.FusedLayer) for module in public.modules()) == (forced == "attention" and fused.available())
    selected = selected_of("the first of a row", mask)
    with torch.inference_mode():
        states = [one(subwords, mask, word_shape_ids, selected)[selected] for one in (private, public)]
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [optimizers.Adam, optimizers.AdamW])
def test_public_paths_step_the_same(kind: type[optimizers.Adam], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    for forced in ("", "fused_adam"):
        monkeypatch.setenv(probes.VARIABLE, forced)
        generator = torch.Generator().manual_seed(5)
        weights = [nn.Parameter(torch.randn(9, 3, generator=generator)) for _ in range(2)]
        groups = [{"params": [weight], "part": part} for weight, part in zip(weights, ("", "mood"), strict=True)]
        optimizer = kind(groups, lr=0.1, fused=True)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn(9, 3, generator=generator)
            optimizers.clip(optimizer, 0.5, {"mood": 3.0}, scaled=False)
            assert bool(optimizer.divisors) == (not forced)
            optimizer.step()
        steps.append(weights)
    for one, other in zip(*steps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# --- the list of them -------------------------------------------------------------------------------------------------


def private_names() -> Iterator[tuple[str, str]]:
    """Each name with an underscore before it that the sources take from elsewhere, and the file that does."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    own = {name for tree in trees.values() for node in ast.walk(tree) for name in defined(node)}
    own |= {"_asdict", "_fields", "_replace"}  # public names of a named tuple
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names = set((node.module or "").split("."))
            else:
                names = {node.attr} - own if isinstance(node, ast.Attribute) else set()
            yield from ((name, path.relative_to(SOURCE).as_posix()) for name in names if re.fullmatch(r"_[a-z]\w*", name))


def defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


def test_every_private_name_is_listed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "private-names.md").read_text(encoding="utf-8")
    found = list(private_names())
    assert {"_linear_pointwise", "_internal"} <= {name for name, _ in found}
    assert [(name, path) for name, path in found if name not in page] == []
    assert [name for probe in probes.PROBES.values() for name in probe.names if name not in page] == []
    for test in re.findall(r"`(tests/[^`]*\.py)(?:::(\w+))?`", page):
        path = Path(__file__).parents[2] / test[0]
        assert f"def {test[1]}" in path.read_text(encoding="utf-8"), test
