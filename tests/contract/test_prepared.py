"""Statements that run on the driver itself give what SQLAlchemy gives, on each store."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from creativepair.errors import CreativePairError
from creativepair.store import Store
from creativepair.store.prepared import Prepared
from creativepair.store.tables import evidence_builds, item_revisions, problem_reports

NOW = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
COLUMNS = [column.name for column in item_revisions.c]
ADD = Prepared(insert(item_revisions), columns=COLUMNS)
GET = Prepared(select(item_revisions).where(item_revisions.c.item_id == bindparam("item")))
ROW = {
    "item_id": "mug",
    "revision": 1,
    "title": "größe 🧴 \u202bشعر\u202c",
    "category": None,
    "queries": ["a", "b", {"c": [1.5, None]}],
    "created_at": NOW,
}


def plain(connection: Connection) -> dict[str, object]:
    row = connection.execute(select(item_revisions)).one()
    return dict(row._asdict())


def test_values_go_in_and_out_as_with_sqlalchemy(store: Store) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    with store.write() as connection:
        assert ADD.run(connection, ROW | {"created_at": elsewhere}) == []
        assert GET.find(connection, {"item": "mug"}) == ROW == plain(connection)
        assert GET.find(connection, {"item": "pan"}) is None
        change = Prepared(
            update(item_revisions)
            .where(item_revisions.c.item_id == bindparam("of_item"))
            .values(queries=bindparam("new", type_=item_revisions.c.queries.type))
        )
        change.run(connection, {"of_item": "mug", "new": ["é"]})
        assert plain(connection)["queries"] == ["é"]


def test_what_a_statement_says_itself_need_not_be_given_and_all_else_must(store: Store) -> None:
    first = Prepared(
        select(item_revisions.c.title).where(
            item_revisions.c.revision == 1, item_revisions.c.item_id == bindparam("item")
        )
    )
    with store.write() as connection:
        ADD.run(connection, ROW)
        assert first.run(connection, {"item": "mug", "more": 1}) == [{"title": ROW["title"]}]
        with pytest.raises(KeyError, match="item"):
            first.run(connection, {})


def test_a_naive_time_is_refused(store: Store) -> None:
    with store.write() as connection, pytest.raises(ValueError, match="without zone"):
        ADD.run(connection, ROW | {"created_at": NOW.replace(tzinfo=None)})


def test_a_broken_rule_raises_what_sqlalchemy_raises_and_undoes_the_transaction(
    store: Store,
) -> None:
    def add_twice() -> None:
        with store.write() as connection:
            ADD.run(connection, ROW)
            ADD.run(connection, ROW)

    with pytest.raises(IntegrityError):
        add_twice()
    with store.read() as connection:
        assert GET.run(connection, {"item": "mug"}) == []


def test_numbers_and_json_come_back_as_their_kind(store: Store) -> None:
    names = [column.name for column in evidence_builds.c]
    values = {"version": 3, "built_at": NOW, "settings": {"gap": 0.6}, "summary": {"n": [1, 2]}}
    with store.write() as connection:
        Prepared(insert(evidence_builds), columns=names).run(connection, values)
        assert Prepared(select(evidence_builds)).run(connection, {}) == [values]


def test_a_failure_that_has_a_name_is_named(store: Store) -> None:
    names = [column.name for column in problem_reports.c]
    bad = {"report_id": "r", "pair_id": "p", "annotator_id": "a", "kind": "\x00", "note": "\x00"}
    add = Prepared(insert(problem_reports), columns=names)
    if store.engine.dialect.name == "sqlite":  # which holds NUL; a key that is not there fails
        with pytest.raises(IntegrityError), store.write() as connection:
            add.run(connection, bad | {"created_at": NOW})
        return
    with pytest.raises(CreativePairError, match="cannot hold"), store.write() as connection:
        add.run(connection, bad | {"created_at": NOW})
