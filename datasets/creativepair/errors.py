"""Errors written for users: what went wrong, where, with which value, and what to do next."""

from collections.abc import Callable, Mapping, Sequence


class CreativePairError(Exception):
    """A problem the user can mend.

    Args:
        message: what, which row or id, which value.
        hint: the next thing to do, as a sentence or a command.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> "tuple[Callable[..., CreativePairError], tuple[object, ...]]":
        """Let it travel between processes, whatever the arguments of a kind of error are."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(
    kind: type[CreativePairError], args: tuple[object, ...], state: Mapping[str, object]
) -> CreativePairError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(CreativePairError):
    """A file, row, image or setting from outside that cannot be used."""

    code = "bad_input"


class NotFoundError(CreativePairError):
    """A workspace, id or version that does not exist."""

    code = "not_found"


class StateError(CreativePairError):
    """A request that the present state of the workspace does not allow."""

    code = "bad_state"


class StoreError(StateError):
    """The store cannot be used now: full, read-only, held, out of reach. Later it may be."""


class ChainError(InputError):
    """A chain that does not follow the protocol, or text that states none.

    Args:
        problems: every problem found, in reading order.
    """

    code = "bad_chain"

    def __init__(
        self, problems: Sequence[str], *, hint: str = "See the protocol's questions."
    ) -> None:
        super().__init__("; ".join(problems), hint=hint)
        self.problems = tuple(problems)
