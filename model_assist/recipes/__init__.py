"""Ways of training, one file each with its settings beside it; `configs/` has those for GPUs."""

from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
"""`RECIPE-NAME.yaml`: settings in place of lines of the recipe's."""
