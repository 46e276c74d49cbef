"""Every revision goes up and down with data in it, and the last one is what the models say."""

from functools import partial

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateTable

from calevents import Calendar, Member, StorageError
from calevents.adapters.sqlalchemy import migrations
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.testing.events import NOON
from tests.migrations.places import Place, Rows, create_tables

pytestmark = pytest.mark.anyio

DRAFT = {"title": "Launch", "start": NOON, "end": NOON.replace(hour=13), "countries": ["US"]}


def chain() -> list[str]:
    """Every revision, the first one first."""
    folder = migrations.__path__[0]
    return [found.revision for found in ScriptDirectory(folder).walk_revisions()][::-1]


def differences(connection: Connection, *, schema: str | None, table_prefix: str) -> list[object]:
    """What Alembic would generate, for all there is in the database."""
    options = {
        "version_table": f"{table_prefix}version",
        "version_table_schema": schema,
        "include_schemas": schema is not None,
    }
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Tables(schema, table_prefix).metadata))


def test_the_chain_is_one_line_that_ends_at_the_head() -> None:
    assert chain()[-1] == migrations.head()
    assert len(chain()) == len(set(chain())) >= 3


async def test_rows_survive_every_step_up_and_down(place: Place) -> None:
    stands: list[Rows] = []
    for revision in chain():
        await place.run(migrations.upgrade, revision)
        assert await place.run(migrations.current) == revision
        if stands:
            assert_kept(stands[-1], await place.rows(await place.tables()))
        known = stands[-1] if stands else {}
        await place.fill({n: t for n, t in (await place.tables()).items() if n not in known})
        stands.append(await place.rows(await place.tables()))
        assert all(stands[-1].values())
    described = await place.described()

    for revision, rows in zip(chain()[-2::-1], stands[-2::-1], strict=True):
        await place.run(migrations.downgrade, revision)
        assert await place.rows(await place.tables()) == rows
    await place.run(migrations.upgrade, "head")
    assert await place.described() == described
    assert_kept(stands[0], await place.rows(await place.tables()))

    await place.run(migrations.downgrade, "base")
    assert await place.tables() == {}
    assert await place.run(migrations.current) is None
    await place.run(migrations.upgrade)
    assert await place.described() == described


def assert_kept(before: Rows, after: Rows) -> None:
    """Assert that every value of ``before`` is in ``after``, which may have more columns."""
    for name, rows in before.items():
        assert [{key: row[key] for key in rows[0]} for row in after[name]] == rows


async def test_the_head_is_what_the_models_say(place: Place) -> None:
    await place.run(migrations.upgrade)
    assert await place.run(migrations.check) == []
    assert await place.run(differences) == []
    migrated = await place.described()
    await place.run(migrations.downgrade, "base")
    await create_tables(place)
    assert await place.described() == migrated
    assert len(migrated) > 10


async def test_tables_made_without_a_migration_are_stamped_and_then_migrated(place: Place) -> None:
    await create_tables(place)
    tables = await place.tables()
    await place.fill(tables)
    before, rows = await place.described(), await place.rows(tables)
    for revision in ("head", chain()[0]):
        with pytest.raises(StorageError, match="calevents migrate stamp"):
            await place.database.migrate(revision)
    assert await place.described(version_table=True) == before

    await place.run(migrations.stamp)
    assert await place.run(migrations.current) == migrations.head()
    await place.database.migrate()
    assert await place.described() == before
    assert await place.rows(tables) == rows
    await place.run(migrations.downgrade, chain()[0])
    await place.database.migrate()
    assert await place.described() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["ALTER TABLE calevents_events ADD COLUMN extra INTEGER"], "remove column .* extra"),
        (
            ["DROP TABLE calevents_deliveries", "DROP INDEX calevents_audiences_by_end"],
            "add table calevents_deliveries; .*add index calevents_audiences_by_end",
        ),
    ],
)
async def test_tables_that_differ_are_not_stamped(
    usual: Place, changes: list[str], said: str
) -> None:
    await create_tables(usual)
    async with usual.engine.begin() as connection:
        for change in changes:
            await connection.execute(text(change))
    before = await usual.described(version_table=True)
    with pytest.raises(StorageError, match=said):
        await usual.run(migrations.stamp)
    assert await usual.described(version_table=True) == before


async def test_only_tables_without_a_revision_are_stamped(place: Place) -> None:
    with pytest.raises(StorageError, match="no tables yet"):
        await place.run(migrations.stamp)
    assert await place.described(version_table=True) == []
    for revision in chain():
        await place.database.migrate(revision)
        with pytest.raises(StorageError, match=f"recorded as {revision} already"):
            await place.run(migrations.stamp)
        assert await place.run(migrations.current) == revision


async def test_an_upgrade_of_what_is_up_to_date_changes_nothing(usual: Place) -> None:
    await usual.database.migrate()
    before = await usual.described(version_table=True)
    await usual.database.migrate()
    assert await usual.described(version_table=True) == before


async def test_the_calendar_works_before_and_after_the_ledger_is_rebuilt(usual: Place) -> None:
    database = usual.database
    await database.migrate()
    calendar = Calendar(database.repository)
    event = (await calendar.company(1).create_once(DRAFT, idempotency_key="k")).event
    await usual.run(migrations.downgrade, "calevents_0002")
    member = calendar.user(Member(company_id=1, id=1, country="US"))
    assert await member.get(event.id) == event
    await database.migrate()
    again = await calendar.company(1).create_once(DRAFT, idempotency_key="k")
    assert again.replayed
    assert again.event == event
    moved = await calendar.company(1).update(event.id, {"start": NOON.replace(hour=11)})
    assert [due.key.start for due in await database.ledger.due(limit=9)] == [moved.start]


async def test_places_live_side_by_side_in_one_database(usual: Place) -> None:
    """Two prefixes, and on PostgreSQL two schemas, know nothing of each other."""
    places = [usual, Place(usual.engine, None, "second_")]
    if usual.engine.dialect.name == "postgresql":
        places += [Place(usual.engine, "other", prefix) for prefix in ("calevents_", "second_")]
    for each in places:
        await each.database.migrate()
    for number, each in enumerate(places):
        company = Calendar(each.database.repository).company(1)
        await company.create({**DRAFT, "title": f"In {number}"})
    await usual.run(migrations.downgrade, "base")
    assert await usual.run(migrations.current) is None
    for number, each in enumerate(places[1:], start=1):
        assert await each.run(migrations.current) == migrations.head()
        assert await each.run(migrations.check) == []
        page = await Calendar(each.database.repository).company(1).list()
        assert [event.title for event in page.events] == [f"In {number}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE calevents_events DROP COLUMN venue", "add column calevents_events venue"),
        ("ALTER TABLE calevents_events ADD COLUMN extra INTEGER", "remove column calevents_events"),
        ("DROP INDEX calevents_audiences_by_end", "add index calevents_audiences_by_end"),
        ("DROP TABLE calevents_deliveries", "add table calevents_deliveries"),
        ("CREATE TABLE members (id INTEGER)", None),
    ],
)
async def test_a_check_names_what_differs(usual: Place, change: str, said: str | None) -> None:
    await usual.database.migrate()
    async with usual.engine.begin() as connection:
        await connection.execute(text(change))
    found = await usual.run(migrations.check)
    assert (found == []) if said is None else any(said in line for line in found), found


async def test_a_check_sees_a_key_in_another_order(usual: Place) -> None:
    """PostgreSQL's own check of names and types wouldn't, nor would Alembic's."""
    await usual.database.migrate()
    async with usual.engine.begin() as connection:
        await connection.execute(text("DROP TABLE calevents_idempotency_keys"))
        table = Tables().idempotency_keys
        ddl = str(CreateTable(table).compile(dialect=usual.engine.dialect))
        there, instead = "KEY (company_id, user_id", "KEY (user_id, company_id"
        assert there in ddl
        await connection.execute(text(ddl.replace(there, instead)))
        await connection.execute(
            text(
                "CREATE INDEX calevents_idempotency_keys_by_age"
                " ON calevents_idempotency_keys (created_at)"
            )
        )
    assert await usual.run(migrations.check) == ["primary key calevents_idempotency_keys"]


async def test_a_revision_that_is_not_there_is_told(usual: Place) -> None:
    for function in (migrations.upgrade, migrations.downgrade):
        with pytest.raises(ValueError, match="nope"):
            await usual.run(partial(function), "nope")
    assert await usual.tables() == {}
