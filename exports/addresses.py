"""Addresses outside of the workspace, and how their failures are told: without what is secret."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from creativepair.errors import CreativePairError, StateError

_SECRETS = re.compile(r"(?<=//)[^/\s]*@|\?[^\s'\"]*")
"""A name and password before a host; a query, where signatures stand."""

_WHO = re.compile(r"//([^/\s]*@)")
_SHOWN_CHARACTERS = 300


def show_address(text: str) -> str:
    """Return an address, or a text that holds some, without passwords and signatures."""
    return _SECRETS.sub("", text)


def show_reason(error: Exception, address: str) -> str:
    """Return what an error says of an address, without passwords and signatures."""
    said = str(error)
    for secret in _WHO.findall(address):  # repeated without what stands before it, too
        said = said.replace(secret, "")
    return show_address(said)


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Say of whatever fails in the block that the address could not be used.

    Every file system has exceptions of its own, so any is taken: keep the block to calls of it.
    """
    try:
        yield
    except CreativePairError:
        raise
    except Exception as error:
        raise StateError(
            f"{show_address(address)} cannot be used: {_reason(error, address)}",
            hint="Mend that and repeat the command: it goes on where it stopped.",
        ) from error


def _reason(error: Exception, address: str) -> str:
    if isinstance(error, PermissionError):
        return "access is refused"
    words = " ".join(show_reason(error, address).split())
    return words[:_SHOWN_CHARACTERS] or type(error).__name__
