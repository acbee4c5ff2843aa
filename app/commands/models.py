"""Models by name, ready to be asked."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.bootstrap import Studio
from creativepair.errors import InputError, StateError
from model_assist.engines.endpoint import KEY_VARIABLE, Endpoint
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.pretrained import POCKET_FOLDER, POCKET_VERSION
from model_assist.registry import list_models, verify_model

if TYPE_CHECKING:
    from model_assist.engines.engine import Engine

POCKET = "pocket"
_ENDPOINT = re.compile(r"openai:(?P<model>.+)@(?P<url>https?://\S+)")


def name_models(studio: Studio) -> list[str]:
    """Return every name that `open_engine` takes."""
    return [POCKET, *(model.version for model in list_models(studio.workspace.models))]


@contextmanager
def explain_missing(what: str) -> Iterator[None]:
    """Say which extra holds a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StateError(
            f"{what} needs {error.name}, which is not installed",
            hint="Install the extra: pip install 'creativepair[train]'.",
        ) from error


def is_endpoint(name: str) -> bool:
    """Tell whether a name is that of a model on a server: `openai:MODEL@URL`."""
    return name.startswith("openai:")


def open_endpoint(name: str) -> OpenAIEngine:
    """Return the engine of `openai:MODEL@URL`; its key comes from the environment.

    Raises:
        InputError: when the name is no such, or holds a password.
    """
    found = _ENDPOINT.fullmatch(name)
    if not found:
        raise InputError(
            "an endpoint is named openai:MODEL@URL",
            hint="Write openai:qwen2.5-vl@http://localhost:8000/v1.",
        )
    if urlsplit(found["url"]).password or "@" in found["url"]:
        raise InputError(
            "an address must not hold a password: it is recorded beside the drafts",
            hint=f"Put the key into {KEY_VARIABLE}.",
        )
    return OpenAIEngine(Endpoint(found["model"], found["url"], os.environ.get(KEY_VARIABLE)))


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
    with explain_missing(version):
        from model_assist.creative4u.loading import load_model
        from model_assist.engines.transformers_engine import TransformersEngine
    return TransformersEngine(load_model(folder), version)
