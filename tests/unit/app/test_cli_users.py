from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from creativepair.store import open_store, users
from creativepair.workspace import open_workspace

if TYPE_CHECKING:
    from tests.unit.app.conftest import Answer, Run


@pytest.fixture
def shop(run: "Run", tmp_path: Path) -> Path:
    """An empty workspace."""
    root = tmp_path / "shop"
    assert run("init", root).exit_code == 0
    return root


def users_of(answer: "Answer") -> list[dict[str, Any]]:
    found = answer.json["users"]
    assert isinstance(found, list)
    return found


def test_people_are_added_and_listed(run: "Run", shop: Path) -> None:
    assert users_of(run("users", "list", "--workspace", shop, "--json")) == []
    run("users", "add", "lea", "--role", "lead", "--name", "Lea 🧴", "--workspace", shop)
    [added] = users_of(run("users", "add", "ana@shop.example", "--workspace", shop, "--json"))
    assert added["role"] == "annotator"
    listed = users_of(run("users", "list", "--workspace", shop, "--json"))
    assert [(u["user_id"], u["name"], u["role"]) for u in listed] == [
        ("ana@shop.example", "ana@shop.example", "annotator"),
        ("lea", "Lea 🧴", "lead"),
    ]
    assert set(listed[0]) == {
        "user_id", "name", "role", "disabled", "has_password", "created_at",
    }  # fmt: skip
    assert "no password yet" in run("users", "list", "--workspace", shop).out


def test_without_people_the_list_says_what_that_means(run: "Run", shop: Path) -> None:
    assert "this machine only" in run("users", "list", "--workspace", shop).out


@pytest.mark.parametrize(
    "user_id", ["", "Ana", "a b", "-ana", "../x", "local", "x" * 101, "ana\n", "é"]
)
def test_an_id_that_could_be_mistaken_is_refused(run: "Run", shop: Path, user_id: str) -> None:
    answer = run("users", "add", "--workspace", shop, "--", user_id)
    assert answer.exit_code == 1
    assert f"{user_id!r} cannot be a user id" in answer.err
    assert "Try:" in answer.err


def test_a_name_is_one_line_that_can_be_read(run: "Run", shop: Path) -> None:
    for name in (" ", "a\nb", "x" * 201):
        answer = run("users", "add", "ana", "--name", name, "--workspace", shop)
        assert (answer.exit_code, "cannot be a name" in answer.err) == (1, True)


def test_an_unknown_role_names_those_there_are(run: "Run", shop: Path) -> None:
    for words in (("add", "ana", "--role", "boss"), ("role", "ana", "boss")):
        answer = run("users", *words, "--workspace", shop)
        assert answer.exit_code == 1
        assert "annotator, reviewer, lead, researcher" in answer.err


def test_an_id_is_given_once(run: "Run", shop: Path) -> None:
    run("users", "add", "ana", "--workspace", shop)
    answer = run("users", "add", "ana", "--workspace", shop)
    assert (answer.exit_code, "ana exists" in answer.err) == (1, True)


def test_roles_change_and_people_are_shut_out_and_let_in(run: "Run", shop: Path) -> None:
    run("users", "add", "ana", "--workspace", shop)
    [user] = users_of(run("users", "role", "ana", "reviewer", "--workspace", shop, "--json"))
    assert user["role"] == "reviewer"
    [user] = users_of(run("users", "disable", "ana", "--workspace", shop, "--json"))
    assert user["disabled"]
    [user] = users_of(run("users", "disable", "ana", "--undo", "--workspace", shop, "--json"))
    assert not user["disabled"]
    assert (user["user_id"], user["role"]) == ("ana", "reviewer")


@pytest.mark.parametrize("verb", [("role", "eve", "lead"), ("disable", "eve"), ("invite", "eve")])
def test_an_unknown_person_is_named(run: "Run", shop: Path, verb: tuple[str, ...]) -> None:
    answer = run("users", *verb, "--workspace", shop)
    assert (answer.exit_code, "no user eve" in answer.err) == (1, True)


def test_an_invitation_prints_its_link_and_stores_only_a_hash(
    run: "Run", shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run("users", "add", "ana", "--workspace", shop)
    answer = run(
        "users", "invite", "ana", "--url", "https://desk.example/", "--workspace", shop, "--json"
    )
    link = answer.json["link"]
    assert link.startswith("https://desk.example/join?token=")
    assert answer.json["expires_at"]
    assert users_of(answer)[0]["user_id"] == "ana"
    token = link.split("=")[1]
    assert token not in answer.err + caplog.text
    stored = b"".join(file.read_bytes() for file in shop.glob("studio.db*"))
    assert b"password_links" in stored
    assert token.encode() not in stored
    again = run("users", "invite", "ana", "--workspace", shop)
    assert again.out.startswith("http://127.0.0.1:8501/join?token=")
    assert "works once, until" in again.out


def test_a_reset_prints_its_link(run: "Run", shop: Path) -> None:
    run("users", "add", "ana", "--workspace", shop)
    assert run("users", "reset", "ana", "--workspace", shop).exit_code == 1
    store = open_store(open_workspace(shop).database_url)
    with store.write() as connection:
        user = users.get_user(connection, "ana")
        users.set_password(connection, "ana", "hash", now=user.created_at)
    store.close()
    answer = run("users", "reset", "ana", "--workspace", shop, "--json")
    assert "/reset?token=" in answer.json["link"]


def test_serving_to_others_needs_accounts_and_says_how_to_add_them(run: "Run", shop: Path) -> None:
    answer = run("review", "--host", "0.0.0.0", "--workspace", shop)
    assert answer.exit_code == 1
    assert "loopback only" in answer.err
    assert "creativepair users add" in answer.err
