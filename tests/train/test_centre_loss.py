"""The centre loss against the formula written out, and where it is zero."""

from __future__ import annotations

import math

import pytest
import torch

from asd_train.imprinting.centre_loss import centre_loss


def unit_vectors(count: int, *, seed: int) -> torch.Tensor:
    vectors = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_it_is_the_published_formula() -> None:
    embeddings, centres = unit_vectors(4, seed=0), 0.7 * unit_vectors(3, seed=1)
    classes = [2, 0, 1, 2]
    losses = []
    for f, k in zip(embeddings.tolist(), classes, strict=True):
        products = [math.exp(sum(c * x for c, x in zip(centre, f, strict=True))) for centre in centres.tolist()]
        losses.append(-math.log(products[k] / sum(products)))
    loss = centre_loss(embeddings, centres, torch.tensor(classes))
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-6)  # float32 against float64


def test_a_single_class_has_no_loss_and_no_slope_until_another_centre_joins() -> None:
    embeddings = unit_vectors(4, seed=0).requires_grad_()
    centre, others = unit_vectors(1, seed=1), unit_vectors(2, seed=2)
    alone = torch.zeros(4, dtype=torch.int64)
    loss = centre_loss(embeddings, centre, alone)
    torch.autograd.backward(loss)
    assert loss.item() == 0.0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()
    torch.autograd.backward(centre_loss(embeddings, torch.cat([centre, others]), alone))
    assert embeddings.grad.all()


def test_centres_are_constants() -> None:
    centres = unit_vectors(3, seed=1).requires_grad_()
    embeddings = unit_vectors(4, seed=0).requires_grad_()
    torch.autograd.backward(centre_loss(embeddings, centres, torch.tensor([0, 1, 2, 0])))
    assert centres.grad is None
