"""Models by name, ready to be asked."""

from typing import TYPE_CHECKING

from app.bootstrap import Studio
from creativepair.errors import InputError, StateError
from model_assist.pretrained import POCKET_FOLDER, POCKET_VERSION
from model_assist.registry import list_models, verify_model

if TYPE_CHECKING:
    from model_assist.engines.engine import Engine

POCKET = "pocket"


def name_models(studio: Studio) -> list[str]:
    """Return every name that `open_engine` takes."""
    return [POCKET, *(model.version for model in list_models(studio.workspace.models))]


def open_engine(studio: Studio, name: str) -> "Engine":
    """Load a model: `pocket`, which comes with the program, or a version of the workspace.

    Raises:
        InputError: when there is none of that name.
        StateError: when its files are not as they were registered, or the extra is missing.
    """
    folder, version = POCKET_FOLDER, POCKET_VERSION
    if name != POCKET:
        known = name_models(studio)
        if name not in known:
            raise InputError(f"unknown model {name!r}", hint=f"Use {', '.join(known)}.")
        folder, version = studio.workspace.models / name, name
        verify_model(studio.workspace.models, name)
    try:
        from model_assist.creative4u.loading import load_model
        from model_assist.engines.transformers_engine import TransformersEngine
    except ModuleNotFoundError as error:
        raise StateError(
            f"{version} needs {error.name}, which is not installed",
            hint="Install the extra: pip install 'creativepair[train]'.",
        ) from error
    return TransformersEngine(load_model(folder), version)
