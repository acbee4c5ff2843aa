"""The `users` commands. Heavy imports are inside them, so that help answers at once."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import AsJson, WorkspacePath
from app.output import emit

if TYPE_CHECKING:
    from app.accounts.links import Link
    from creativepair.store.users import User
    from creativepair.workspace import Oidc

users_cli = typer.Typer(help="Accounts: who may open the desk, as what.", no_args_is_help=True)

UserId = Annotated[str, typer.Argument(help="What the person signs in with, such as ana.")]
RoleName = Annotated[str, typer.Option("--role", help="annotator, reviewer, lead or researcher.")]
Address = Annotated[str, typer.Option("--url", help="The desk's address, for the link.")]
_DESK = "http://127.0.0.1:8501"


@users_cli.command("add")
def add(
    user_id: UserId,
    role: RoleName = "annotator",
    name: Annotated[str | None, typer.Option(help="Name that others see; the id.")] = None,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Add an account without a password; `invite` makes the link that sets one."""
    from app.bootstrap import open_studio
    from app.commands.users import add_user

    studio = open_studio(workspace)
    user = add_user(studio, user_id, role=role, name=name)
    oidc = studio.workspace.settings.oidc
    then = "give them the desk's address" if oidc else f"creativepair users invite {user.user_id}"
    lines = f"Added {_line(user, oidc)}\nNext: {then}"
    emit({"users": [_entry(user)]}, as_json=as_json, lines=lines)


@users_cli.command("list")
def list_(workspace: WorkspacePath = None, as_json: AsJson = False) -> None:
    """List the accounts."""
    from app.bootstrap import open_studio
    from app.commands.users import list_users

    studio = open_studio(workspace)
    found = list_users(studio)
    lines = "\n".join(_line(user, studio.workspace.settings.oidc) for user in found)
    none = "No accounts: the desk is for this machine only. Add one: creativepair users add"
    emit({"users": [_entry(user) for user in found]}, as_json=as_json, lines=lines or none)


@users_cli.command("role")
def role(
    user_id: UserId,
    role: Annotated[str, typer.Argument(help="annotator, reviewer, lead or researcher.")],
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Give a person another role; it counts at once."""
    from app.bootstrap import open_studio
    from app.commands.users import change_role

    studio = open_studio(workspace)
    user = change_role(studio, user_id, role)
    lines = _line(user, studio.workspace.settings.oidc)
    emit({"users": [_entry(user)]}, as_json=as_json, lines=lines)


@users_cli.command("disable")
def disable(
    user_id: UserId,
    undo: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Shut a person out, at once and everywhere; what they judged stays."""
    from app.bootstrap import open_studio
    from app.commands.users import disable_user, enable_user

    change = enable_user if undo else disable_user
    studio = open_studio(workspace)
    user = change(studio, user_id)
    lines = _line(user, studio.workspace.settings.oidc)
    emit({"users": [_entry(user)]}, as_json=as_json, lines=lines)


@users_cli.command("invite")
def invite(
    user_id: UserId,
    url: Address = _DESK,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Print a link on which the person chooses a password; it works once, for seven days."""
    from app.bootstrap import open_studio
    from app.commands.users import invite_user

    _emit_link(invite_user(open_studio(workspace), user_id), url, as_json)


@users_cli.command("reset")
def reset(
    user_id: UserId,
    url: Address = _DESK,
    workspace: WorkspacePath = None,
    as_json: AsJson = False,
) -> None:
    """Print a link on which the person chooses a new password; it works once, for a day."""
    from app.bootstrap import open_studio
    from app.commands.users import reset_user

    _emit_link(reset_user(open_studio(workspace), user_id), url, as_json)


def _emit_link(link: "Link", url: str, as_json: bool) -> None:
    address = url.rstrip("/") + link.path
    result = {
        "users": [_entry(link.user)],
        "link": address,
        "expires_at": link.expires_at.isoformat(),
    }
    until = f"It works once, until {link.expires_at:%Y-%m-%d %H:%M} UTC. Give it to nobody else."
    emit(result, as_json=as_json, lines=f"{address}\n{until}")


def _entry(user: "User") -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "name": user.name,
        "role": user.role.value,
        "disabled": user.disabled_at is not None,
        "has_password": user.password_hash is not None,
        "created_at": user.created_at.isoformat(),
    }


def _line(user: "User", oidc: "Oidc | None") -> str:
    can_enter = oidc is not None or user.password_hash is not None
    state = "disabled" if user.disabled_at else "" if can_enter else "no password yet"
    return f"{user.user_id:<20} {user.role.value:<10} {user.name}  {state}".rstrip()
