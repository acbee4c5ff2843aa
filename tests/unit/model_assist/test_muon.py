"""The optimiser of the pocket recipe, held to PyTorch's own in bfloat16."""

import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: make suite")

from model_assist.recipes.muon import Muon, orthogonalise  # noqa: E402 (needs torch)


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (96, 48)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(5, *shape) * torch.tensor([1e-4, 1.0, 3.0, 50.0, 1e4]).view(-1, 1, 1)
    found = torch.linalg.svdvals(orthogonalise(matrices, 5))
    assert found.shape == (5, min(shape))
    assert found.max() < 1.3
    # Those near nothing, which a square matrix has, stay behind.
    assert (found > 0.6).float().mean() > 0.95


def test_nothing_stays_nothing() -> None:
    assert not orthogonalise(torch.zeros(1, 4, 6), 5).any()


def test_a_step_is_that_of_pytorch_but_for_its_rounding() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(32, 64)), torch.nn.Parameter(torch.randn(32, 64))]
    theirs = [torch.nn.Parameter(each.detach().clone()) for each in ours]
    optimisers = (
        Muon(ours, lr=0.02, weight_decay=0.1),
        torch.optim.Muon(
            theirs, lr=0.02, weight_decay=0.1, ns_steps=4, adjust_lr_fn="match_rms_adamw"
        ),
    )
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(32, 64)
            other.grad = one.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=3e-3, rtol=0)


def test_what_has_no_gradient_stays_where_it_is() -> None:
    moved, still = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.eye(4)
    Muon([moved, still], lr=0.1, weight_decay=0.0).step()
    assert (still == 1).all()
    assert (moved.diagonal() < 1).all()
