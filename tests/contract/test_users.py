import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from creativepair.errors import NotFoundError, StateError
from creativepair.store import Store, tables, users
from creativepair.store.users import Purpose, Role, User

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


@pytest.fixture
def ana(store: Store) -> Store:
    """A store in which Ana, an annotator, has an account."""
    with store.write() as connection:
        users.add_user(connection, "ana", name="Ana", role=Role.ANNOTATOR, now=NOW)
    return store


def session_of(store: Store, token: str, now: datetime = NOW) -> User | None:
    with store.read() as connection:
        return users.find_session(connection, token, now=now)


def start_session(store: Store, token: str, user_id: str = "ana") -> None:
    with store.write() as connection:
        users.add_session(connection, user_id, token, now=NOW, expires_at=minutes(60))


def make_link(store: Store, token: str, purpose: Purpose = Purpose.INVITE) -> None:
    with store.write() as connection:
        users.add_link(connection, "ana", purpose, token, now=NOW, expires_at=minutes(60))


def test_a_new_person_has_no_password_and_is_listed_by_id(ana: Store) -> None:
    with ana.write() as connection:
        assert users.has_users(connection)
        bo = users.add_user(connection, "Bo", name="Bo 🧴", role=Role.LEAD, now=NOW)
        assert bo == User("Bo", "Bo 🧴", Role.LEAD, None, None, NOW)
        assert {u.user_id for u in users.list_users(connection)} == {"ana", "Bo"}


def test_a_store_without_people_says_so(store: Store) -> None:
    with store.read() as connection:
        assert not users.has_users(connection)
        assert users.find_user(connection, "ana") is None


def test_an_id_is_given_once(ana: Store) -> None:
    with pytest.raises(StateError, match="ana exists"), ana.write() as connection:
        users.add_user(connection, "ana", name="Other", role=Role.LEAD, now=NOW)


def test_changing_an_unknown_person_names_the_id(store: Store) -> None:
    with store.write() as connection:
        with pytest.raises(NotFoundError, match="no user eve"):
            users.set_role(connection, "eve", Role.LEAD)
        with pytest.raises(NotFoundError, match="no user eve"):
            users.disable_user(connection, "eve", now=NOW)
        with pytest.raises(NotFoundError, match="no user eve"):
            users.enable_user(connection, "eve")


def test_a_session_says_who_it_is_until_it_expires(ana: Store) -> None:
    start_session(ana, "secret")
    found = session_of(ana, "secret", minutes(59.9))
    assert found is not None
    assert found.user_id == "ana"
    assert session_of(ana, "secret", minutes(60)) is None
    assert session_of(ana, "another") is None


def test_neither_a_session_nor_a_link_can_be_read_from_the_store(ana: Store) -> None:
    start_session(ana, "secret")
    make_link(ana, "hidden")
    with ana.read() as connection:
        stored = str(connection.execute(select(tables.sessions)).all())
        stored += str(connection.execute(select(tables.password_links)).all())
    assert "secret" not in stored
    assert "hidden" not in stored


def test_a_role_counts_in_the_sessions_that_are_open(ana: Store) -> None:
    start_session(ana, "secret")
    with ana.write() as connection:
        assert users.set_role(connection, "ana", Role.LEAD).role is Role.LEAD
    found = session_of(ana, "secret")
    assert found is not None
    assert found.role is Role.LEAD


def test_ending_one_session_leaves_the_others(ana: Store) -> None:
    start_session(ana, "laptop")
    start_session(ana, "phone")
    with ana.write() as connection:
        users.end_session(connection, "laptop", now=NOW)
        users.end_session(connection, "unknown", now=NOW)
    assert session_of(ana, "laptop") is None
    assert session_of(ana, "phone") is not None


def test_disabling_ends_every_session_and_link_for_good(ana: Store) -> None:
    start_session(ana, "laptop")
    start_session(ana, "phone")
    make_link(ana, "link")
    with ana.write() as connection:
        assert users.disable_user(connection, "ana", now=minutes(1)).disabled_at == minutes(1)
    assert (session_of(ana, "laptop"), session_of(ana, "phone")) == (None, None)
    with ana.write() as connection:
        assert users.enable_user(connection, "ana").disabled_at is None
        assert users.find_link(connection, "link", Purpose.INVITE, now=NOW) is None
    assert session_of(ana, "laptop") is None


def test_a_new_password_ends_sessions_and_links_that_were_given_out(ana: Store) -> None:
    start_session(ana, "laptop")
    make_link(ana, "link", Purpose.RESET)
    with ana.write() as connection:
        users.set_password(connection, "ana", "hash", now=NOW)
        assert users.get_user(connection, "ana").password_hash == "hash"
        assert users.find_link(connection, "link", Purpose.RESET, now=NOW) is None
    assert session_of(ana, "laptop") is None


def test_a_link_works_once_until_it_expires_and_for_its_purpose(ana: Store) -> None:
    make_link(ana, "link")
    with ana.write() as connection:
        assert users.find_link(connection, "link", Purpose.RESET, now=NOW) is None
        assert users.find_link(connection, "link", Purpose.INVITE, now=minutes(60)) is None
        assert users.find_link(connection, "other", Purpose.INVITE, now=NOW) is None
        found = users.use_link(connection, "link", Purpose.INVITE, now=NOW)
        assert found is not None
        assert found.user_id == "ana"
        assert users.use_link(connection, "link", Purpose.INVITE, now=NOW) is None


def test_a_second_link_takes_the_place_of_the_first(ana: Store) -> None:
    make_link(ana, "first")
    make_link(ana, "second")
    with ana.read() as connection:
        assert users.find_link(connection, "first", Purpose.INVITE, now=NOW) is None
        assert users.find_link(connection, "second", Purpose.INVITE, now=NOW) is not None


def test_expired_sessions_are_forgotten_when_a_new_one_begins(ana: Store) -> None:
    start_session(ana, "old")
    with ana.write() as connection:
        users.add_session(connection, "ana", "new", now=minutes(61), expires_at=minutes(120))
        assert len(connection.execute(select(tables.sessions)).all()) == 1


def test_attempts_are_counted_by_key_until_their_window_is_over(store: Store) -> None:
    def count(key: str, now: datetime) -> int:
        with store.write() as connection:
            return users.count_attempt(connection, key, now=now, window=WINDOW)

    assert [count("ana", NOW), count("ana", minutes(5)), count("bo", minutes(5))] == [1, 2, 1]
    assert count("ana", minutes(14.9)) == 3
    assert count("ana", minutes(15)) == 1
    assert count("ana", minutes(29.9)) == 2


def test_attempts_at_the_same_time_are_all_counted(store: Store) -> None:
    counts: list[int] = []

    def count() -> None:
        with store.write() as connection:
            counts.append(users.count_attempt(connection, "ana", now=NOW, window=WINDOW))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_sign_in_forgets_its_own_attempts_and_those_long_ago(store: Store) -> None:
    with store.write() as connection:
        for key, now in (("ana", minutes(10)), ("bo", minutes(10)), ("long ago", NOW)):
            users.count_attempt(connection, key, now=now, window=WINDOW)
        users.forget_attempts(connection, "ana", now=minutes(20), window=WINDOW)
        kept = connection.execute(select(tables.sign_in_attempts.c.key_sha256)).scalars().all()
    assert kept == [users.sha256_of("bo")]
