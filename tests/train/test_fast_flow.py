"""The flow as a bijection: its determinant by automatic differentiation, its inverse, its density by torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asd_train.networks.fast_flow import CouplingStep, FastFlow, log_normal

CHANNELS = 5  # odd: halves of 2 and 3


def tiny(steps: int = 3) -> FastFlow:
    """A flow that is far from the identity it starts as."""
    torch.manual_seed(0)
    flow = FastFlow(CHANNELS, steps=steps).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.5)
    return flow


def maps(batch: int = 3) -> Tensor:
    return torch.randn(batch, CHANNELS, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_log_determinant_is_that_of_the_jacobian() -> None:
    flow, x = tiny(), maps()
    z, log_det = flow(x)
    assert z.shape == x.shape
    for item, found in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda one: flow(one[None])[0][0], item)
        expected = torch.linalg.slogdet(jacobian.reshape(item.numel(), item.numel())).logabsdet
        assert found.item() == pytest.approx(expected.item(), rel=1e-9)
        assert abs(expected.item()) > 0.1


def test_the_inverse_undoes_the_flow() -> None:
    flow, x = tiny(steps=4), maps()
    z, _ = flow(x)
    assert (z - x).abs().max() > 0.5
    torch.testing.assert_close(flow.inverse(z), x, rtol=1e-9, atol=1e-9)


def test_it_starts_as_a_mere_reordering() -> None:
    flow, x = FastFlow(CHANNELS).double(), maps()
    z, log_det = flow(x)
    assert not log_det.any()
    torch.testing.assert_close(z.sort(dim=1).values, x.sort(dim=1).values)


def test_a_scale_is_clamped_whatever_the_sub_network_says() -> None:
    step = CouplingStep(4, 1, torch.Generator()).double()
    for parameter in step.parameters():
        nn.init.constant_(parameter, 1e3)
    _, log_det = step(torch.ones(1, 4, 1, 1, dtype=torch.float64))
    assert log_det.item() == pytest.approx(2 * 2.0)  # two channels moved, each by a factor of e² at most


def test_orders_come_from_the_seed_alone_and_travel_with_the_weights() -> None:
    torch.manual_seed(1)
    one = FastFlow(64, seed=7)
    torch.manual_seed(2)
    same, other = FastFlow(64, seed=7), FastFlow(64, seed=8)
    orders = [[step.order for step in flow.steps] for flow in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(orders[0], orders[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(orders[0], orders[2], strict=True))
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(a, b.order) for a, b in zip(orders[0], other.steps, strict=True))


def test_kernels_alternate_and_parameters_are_those_of_512_channels() -> None:
    flow = FastFlow(512)
    assert sum(p.numel() for p in flow.parameters()) == 7_870_464
    assert [step.sub_network[0].kernel_size[0] for step in flow.steps] == [3, 1, 3, 1, 3, 1, 3, 1]


def test_the_density_is_the_normal_distributions() -> None:
    z, mean = maps(), torch.tensor([0.0, 2.0, -5.0], dtype=torch.float64)[:, None, None, None]
    expected = torch.distributions.Normal(mean, 1.0).log_prob(z).sum(dim=(1, 2, 3))
    torch.testing.assert_close(log_normal(z, mean), expected)
    torch.testing.assert_close(log_normal(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=(1, 2, 3)))
