"""Settings of recipes: a YAML file beside each, in place of whose lines others can be given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from creativepair.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(
    kind: type[Settings], defaults: Path, overrides: Sequence[str] = (), config: Path | None = None
) -> Settings:
    """Read the settings of a recipe.

    Args:
        defaults: the file beside the recipe, which has every line.
        overrides: `key=value` or `parent.key=value`; they count before the files.
        config: a file with some lines in place of the defaults.

    Raises:
        InputError: naming what cannot be read.
    """
    told = _load(defaults)
    if config is not None:
        told |= _load(config)
    for override in overrides:
        key, sign, value = override.partition("=")
        *parents, name = key.split(".")
        place = told
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else place
        if not sign or not isinstance(place, dict):
            raise InputError(f"{override!r} is not key=value", hint=f"See {defaults}.")
        try:
            place[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{override!r} has no value: {error}", hint="Quote it.") from error
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        raise InputError(f"settings: {error}", hint=f"See {defaults}.") from error


class _Strict(yaml.SafeLoader):  # type: ignore[misc]  # its base is Any to mypy
    """Takes no key twice: the second would count, and nobody would see the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        keys = [key.value for key, _ in node.value]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"{', '.join(twice)} stands twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _load(path: Path) -> dict[str, Any]:
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="Name a YAML file.") from error
    if not isinstance(told, dict):
        raise InputError(f"{path} has no lines of key: value", hint="Name a YAML file.")
    return told
