"""Who is at the desk, for routes and for pages."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from app.bootstrap import LOCAL_ANNOTATOR
from creativepair.store.users import Role


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the desk; `user_id` is the `annotator_id` of what they judge."""

    user_id: str
    name: str
    role: Role


LOCAL_PERSON = Person(LOCAL_ANNOTATOR, "you", Role.LEAD)
"""Who is at a desk without accounts: the owner of the machine, who may open everything."""


def identify(connection: HTTPConnection) -> Person:
    """Return who a request comes from, as the guard before the routes has found it.

    Without a guard there is nobody, and this fails instead of guessing.
    """
    person = connection.scope["person"]
    if not isinstance(person, Person):
        raise TypeError("the request comes from nobody")
    return person
