"""Names for annotators in what leaves the workspace.

A pseudonym is the same in every release of a workspace, and says nothing without the workspace's
key. Who holds the key and the list of annotators can tell who is who: the key is in the store and
its backups, in no release.

Source: keyed hashing as in RFC 2104 (HMAC), with SHA-256.
"""

import hashlib
import hmac
from collections.abc import Callable

KEY_NAME = "pseudonyms"
_DIGITS = 12

Pseudonymise = Callable[[str], str]


def pseudonymiser(key: bytes) -> Pseudonymise:
    """Return what turns the id of an annotator into a pseudonym, such as `annotator-1f0c6b2a9d3e`.

    Args:
        key: 32 secret bytes of the workspace.
    """
    known: dict[str, str] = {}

    def pseudonymise(annotator_id: str) -> str:
        if annotator_id not in known:
            digest = hmac.new(key, annotator_id.encode(), hashlib.sha256).hexdigest()
            known[annotator_id] = f"annotator-{digest[:_DIGITS]}"
        return known[annotator_id]

    return pseudonymise
