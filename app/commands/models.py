"""Models by name, ready to be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from app.bootstrap import Studio
from creativepair.errors import InputError, StateError
from model_assist.engines.endpoint import KEY_VARIABLE, Endpoint, read_key
from model_assist.engines.openai_engine import OpenAIEngine
from model_assist.pretrained import POCKET_FOLDER, POCKET_VERSION
from model_assist.registry import list_models, verify_model

if TYPE_CHECKING:
    from model_assist.engines.engine import Engine

POCKET = "pocket"
_GENERAL, _OURS = "openai:", "vllm:"
_EXAMPLES = {_GENERAL: "qwen2.5-vl", _OURS: "creative4u-1"}


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


def is_general(name: str) -> bool:
    """Tell whether a name is that of a general model on a server: `openai:MODEL@URL`."""
    return name.startswith(_GENERAL)


def open_endpoint(name: str) -> OpenAIEngine:
    """Return the engine of `openai:MODEL@URL`, a general model; its key is in the environment.

    Its answers are recorded under `openai:MODEL`, which no model of a workspace is called.

    Raises:
        InputError: when the name is no such, or its address holds more than a place.
    """
    endpoint = _read_endpoint(name, _GENERAL)
    return OpenAIEngine(endpoint, f"{_GENERAL}{endpoint.model}")


def _read_endpoint(name: str, kind: str) -> Endpoint:
    model, at, address = name.removeprefix(kind).rpartition("@http")
    example = f"Write {kind}{_EXAMPLES[kind]}@http://localhost:8000/v1."
    if not name.startswith(kind) or not model or not at:
        raise InputError(f"an endpoint is named {kind}MODEL@URL", hint=example)
    try:
        url = httpx.URL(f"http{address}")
    except httpx.InvalidURL as error:
        raise InputError(f"the address of {model} is none: {error}", hint=example) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"the address of {model} is none", hint=example)
    if url.userinfo or url.query or url.fragment:
        raise InputError(
            "an address ends in /v1 and holds no password or key: messages show it",
            hint=f"Put the key into {KEY_VARIABLE}.",
        )
    return Endpoint(model, str(url), read_key())


def open_engine(studio: Studio, name: str) -> "Engine":
    """Return a model of Creative4U, ready to be asked.

    Args:
        name: `pocket`, which comes with the program, a version of the workspace, or one of these
            that a vLLM server serves under this name: `vllm:MODEL@URL`.

    Raises:
        InputError: when there is none of that name.
        StateError: when its files are not as they were registered, or the extra is missing.
    """
    endpoint = _read_endpoint(name, _OURS) if name.startswith(_OURS) else None
    model = endpoint.model if endpoint else name
    known = name_models(studio)
    if model not in known:
        hint = f"Use {', '.join(known)}, or {_OURS}MODEL@URL where one of these is served."
        raise InputError(f"unknown model {model!r}", hint=hint)
    folder, version = POCKET_FOLDER, POCKET_VERSION
    if model != POCKET:
        folder, version = studio.workspace.models / model, model
        verify_model(studio.workspace.models, model)
    if endpoint:
        return OpenAIEngine(endpoint, version)
    with explain_missing(version):
        from model_assist.creative4u.loading import load_model
        from model_assist.engines.transformers_engine import TransformersEngine
    return TransformersEngine(load_model(folder), version)
