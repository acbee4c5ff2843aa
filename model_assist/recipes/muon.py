"""Muon in single precision, all matrices of a shape at once.

PyTorch has Muon too, with products in bfloat16, which a CPU without instructions for it computes
fifty times slower than in float32, and one matrix after another.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the scale of
the step as in Liu et al. 2025, "Muon is scalable for LLM training".
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_LEAST_NORM = 1e-7


# Its base is Any to mypy, which reads nothing of an extra that is not always installed.
class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Moves matrices by their momentum, with all its singular values made about equal.

    Args:
        matrices: of two dimensions.
        lr: of the size that AdamW takes.
        momentum: Nesterov's.
        num_iterations: of Newton and Schulz.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        num_iterations: int = 4,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._num_iterations = num_iterations

    @torch.no_grad()  # type: ignore[untyped-decorator]  # of the same extra
    def step(self) -> None:
        """Take a step with the gradients that stand."""
        for group in self.param_groups:
            of_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    of_shape[tuple(matrix.shape)].append(matrix)
            for shape, matrices in of_shape.items():
                moved = orthogonalise(
                    torch.stack([self._push(matrix, group["momentum"]) for matrix in matrices]),
                    self._num_iterations,
                )
                scale = 0.2 * max(shape) ** 0.5
                for matrix, update in zip(matrices, moved, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update, alpha=-group["lr"] * scale)

    def _push(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].lerp_(matrix.grad, 1 - momentum)
        pushed: Tensor = matrix.grad.lerp(state["momentum"], momentum)
        return pushed


def orthogonalise(matrices: Tensor, num_iterations: int) -> Tensor:
    """Return matrices whose singular values are all about 1, from 0.7 to 1.2, (n, rows, columns).

    Those much smaller than the largest need more iterations.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if is_tall else matrices
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=_LEAST_NORM)
    a, b, c = _COEFFICIENTS
    for _ in range(num_iterations):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if is_tall else wide
