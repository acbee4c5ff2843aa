"""Models that come with the program: each a folder with its card, made by a recipe of ours."""

from pathlib import Path

POCKET_VERSION = "pocket-2"
POCKET_FOLDER = Path(__file__).parent / POCKET_VERSION
