"""Combined gradients are TorchJD's, or those of a closed form."""

from collections.abc import Callable

import cvxpy
import numpy as np
import pytest
import torch
from torchjd.aggregation import IMTLG, MGDA, AlignedMTL, CAGrad, PCGrad, UPGrad
from torchjd.linalg import DualConeProjector, QuadprogProjector

from mtl.training.balancing import Balancer
from mtl.training.balancing.aggregation import nash_mtl, upgrad

Make = Callable[..., Balancer]
AGGREGATIONS = ["pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"]
JACOBIANS = {
    "conflict": [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]],
    "three": [[1.0, 2.0, -1.0, 0.5], [-2.0, 0.5, 1.0, 0.0], [0.3, -1.0, 2.0, 1.0]],
    "unequal": [[1e-3, 2e-3, 0.0], [-5.0, 4.0, 1.0]],
    "harmony": [[1.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.5, 1.0, 1.0]],
}


class ClarabelProjector(DualConeProjector):
    """TorchJD's projection by a solver that is always there."""

    def __call__(self, u: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        v = cvxpy.Variable(u.shape)
        cvxpy.Problem(cvxpy.Minimize(sum(cvxpy.quad_form(v[i], cvxpy.psd_wrap(g.numpy())) for i in range(len(u)))), [v >= u.numpy()]).solve(
            cvxpy.CLARABEL
        )
        return torch.from_numpy(v.value)


def combined(balancer: Balancer, jacobian: torch.Tensor) -> np.ndarray:
    """The combined gradient of tasks a, b, …."""
    torch.manual_seed(7)
    tasks = "abc"[: len(jacobian)]
    balancer.observe(tuple(tasks), (jacobian @ jacobian.T).numpy())
    factors = balancer.factors()
    return np.array([factors[task] for task in tasks]) @ jacobian.numpy()


@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.parametrize(
    ("kind", "oracle", "tolerance"),
    [
        ("pcgrad", lambda k: PCGrad(), 1e-6),
        ("mgda", lambda k: MGDA(), 1e-6),
        ("cagrad", lambda k: CAGrad(c=0.4), 1e-3),
        ("upgrad", lambda k: UPGrad(projector=ClarabelProjector()), 1e-4),
        ("imtl_g", lambda k: IMTLG(), 1e-6),
        ("aligned_mtl", lambda k: AlignedMTL(), 1e-6),
    ],
)
def test_the_combined_gradient_is_that_of_torchjd(
    make: Make, kind: str, oracle: Callable[[int], torch.nn.Module], tolerance: float, name: str
) -> None:
    jacobian = torch.tensor(JACOBIANS[name], dtype=torch.float64)
    k = len(jacobian)
    torch.manual_seed(7)
    expected = oracle(k)(jacobian).numpy() * (1 if kind == "pcgrad" else k)
    result = combined(make(kind, dict.fromkeys("abc"[:k], 1.0)), jacobian)
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("kind", [kind for kind in AGGREGATIONS if kind not in ("mgda", "imtl_g")])
def test_orthogonal_gradients_of_one_norm_are_added_at_their_weights(make: Make, kind: str) -> None:
    """The closed form that these have in common; CAGrad goes beyond the sum by c, and a bargain goes by the root of the power."""
    balancer = make(kind, {"a": 1.0, "b": 4.0}, **({"c": 0.0} if kind == "cagrad" else {}))
    result = combined(balancer, torch.eye(2, 3, dtype=torch.float64))
    expected = [2.0, 4.0] if kind == "nash_mtl" else [1.0, 4.0]
    assert result[1] / result[0] == pytest.approx(expected[1] / expected[0], rel=1e-4)


def test_conflicting_gradients_end_up_in_conflict_with_none(make: Make) -> None:
    jacobian = torch.tensor(JACOBIANS["conflict"], dtype=torch.float64)
    assert (jacobian.numpy() @ jacobian.sum(0).numpy()).min() < 0
    for kind in AGGREGATIONS:
        result = combined(make(kind), jacobian)
        assert (jacobian.numpy() @ result).min() > -1e-6 * np.abs(result).max(), kind


@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.2, 1.0, 5.0]])
def test_a_bargain_meets_its_condition(name: str, weights: list[float]) -> None:
    jacobian = np.array(JACOBIANS[name])
    products, powers = jacobian @ jacobian.T, np.array(weights[: len(jacobian)])
    a = nash_mtl(products, powers)
    assert (a > 0).all()
    np.testing.assert_allclose(a * (products @ a), powers, rtol=1e-4)


@pytest.mark.parametrize("name", JACOBIANS)
def test_projection_is_that_of_torchjds_own_solver(name: str) -> None:
    pytest.importorskip("quadprog")
    jacobian = torch.tensor(JACOBIANS[name], dtype=torch.float64)
    expected = UPGrad(projector=QuadprogProjector(reg_eps=1e-9, norm_eps=0.0))(jacobian).numpy() * len(jacobian)
    result = upgrad((jacobian @ jacobian.T).numpy(), np.ones(len(jacobian))) @ jacobian.numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_bargain_is_that_of_torchjd() -> None:
    pytest.importorskip("ecos")
    from torchjd.aggregation import NashMTL

    jacobian = torch.tensor(JACOBIANS["three"], dtype=torch.float64)
    expected = NashMTL(3, max_norm=0.0, optim_niter=100)(jacobian).numpy()
    result = nash_mtl((jacobian @ jacobian.T).numpy(), np.ones(3)) @ jacobian.numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-2)


def test_gradients_that_cancel_each_other_have_a_finite_bargain() -> None:
    a = nash_mtl(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones(2))
    assert np.isfinite(a).all()
    assert a[0] == pytest.approx(a[1])


def test_projection_of_gradients_that_cancel_each_other() -> None:
    jacobian = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(upgrad(jacobian @ jacobian.T, np.ones(3)) @ jacobian, [0.0, 1.0], atol=1e-9)


def test_weights_of_upgrad_are_its_preferences() -> None:
    jacobian = torch.tensor(JACOBIANS["three"], dtype=torch.float64)
    weights = torch.tensor([1.0, 0.5, 3.0], dtype=torch.float64)
    expected = UPGrad(weights, projector=ClarabelProjector())(jacobian).numpy()
    result = upgrad((jacobian @ jacobian.T).numpy(), weights.numpy()) @ jacobian.numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", AGGREGATIONS)
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_scale_of_the_gradients_does_not_matter(make: Make, kind: str, size: float) -> None:
    jacobian = torch.tensor(JACOBIANS["three"], dtype=torch.float64)
    weights = dict.fromkeys("abc", 1.0)
    np.testing.assert_allclose(combined(make(kind, weights), size * jacobian) / size, combined(make(kind, weights), jacobian), rtol=1e-4)


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_tasks_that_are_absent_or_have_no_gradient_take_no_part(make: Make, kind: str) -> None:
    jacobian = torch.tensor(JACOBIANS["conflict"], dtype=torch.float64)
    pair, both = make(kind), make(kind, dict.fromkeys("abc", 1.0))
    padded = torch.cat([jacobian, torch.zeros(1, 3, dtype=torch.float64)])
    np.testing.assert_allclose(combined(both, padded), combined(pair, jacobian), rtol=1e-6)
    np.testing.assert_allclose(combined(both, jacobian), combined(pair, jacobian), rtol=1e-6)
    lone = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    np.testing.assert_allclose(combined(both, lone), [3.0 * (1.4 if kind == "cagrad" else 1.0), 0.0], rtol=1e-5)
