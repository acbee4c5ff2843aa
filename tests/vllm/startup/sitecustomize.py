"""Read by every Python of the server: lets a torchvision for CUDA load beside a CPU torch.

The registry's torchvision is linked to CUDA. Beside a torch for the CPU its operators are not
there, and registering their shapes fails, which ends the import of transformers. Two empty
declarations are enough, since nothing here calls them. Where they are there this does nothing.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class DeclareOperators(MetaPathFinder):
    """Finds nothing: it acts right before the module that would fail is looked for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name == "torchvision._meta_registrations":
            import torch

            for operator in ("nms", "qnms"):
                if not hasattr(torch.ops.torchvision, operator):
                    torch.library.define(
                        f"torchvision::{operator}",
                        "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                    )


sys.meta_path.insert(0, DeclareOperators())
