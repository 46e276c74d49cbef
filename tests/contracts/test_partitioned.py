"""The contracts hold on tables that are partitioned by company, and every statement says which one.

A server of this module's own records what it is asked, whatever it came through.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from sqlalchemy import text

from calevents import Calendar, Member
from calevents.__main__ import main
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.ledger import DeliveryState, NotificationKey, Settlement
from calevents.notification import Recipient
from calevents.ports import EventRepository
from calevents.testing import (
    EventRepositoryContract,
    FixedClock,
    LedgerStorage,
    NotificationLedgerContract,
)
from calevents.testing.events import NOON
from tests.postgres import PostgresServer

PARTITIONS = 4
TABLES = [table.name for table in Tables().metadata.sorted_tables]
EVERY_COMPANY = re.compile(
    r"SELECT .* FROM calevents_notifications WHERE .*calevents_notifications\.due_at (<=|IS NULL)"
    r"|DELETE FROM calevents_idempotency_keys WHERE .*calevents_idempotency_keys\.created_at <="
)
"""The due scan, expire_missed and the purges look at all companies."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server that records its statements."""
    with PostgresServer(settings={"shared_preload_libraries": "pg_stat_statements"}) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: PostgresServer) -> str:
    """Give a database with partitioned tables."""
    url = server.create_database()
    assert main(["migrate", f"--url={url}", f"--partitions={PARTITIONS}"]) == 0
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Give the database, with nothing in it, and judge what was asked of it."""
    async with Database(url) as database:
        await ask(database, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await ask(database, f"TRUNCATE {', '.join(TABLES)}")
        await ask(database, "SELECT pg_stat_statements_reset()::text")
        yield database
        asked = await statements(database)
        assert asked, "the contract uses the database"
        for statement in asked:
            assert unscoped(statement) == [] or EVERY_COMPANY.match(statement), statement


async def ask(database: Database, query: str) -> Sequence[str]:
    """The first column of the answer to ``query``."""
    async with database.engine.connect() as connection:
        options = await connection.execution_options(isolation_level="AUTOCOMMIT")
        result = await options.execute(text(query))
        return result.scalars().all() if result.returns_rows else ()


async def scans(database: Database) -> dict[str, int]:
    """How often each partition was looked at or written to."""
    # The connections that did so report what they have counted when they end.
    await database.close()
    others = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()"
    while await ask(database, f"{others} AND pid <> pg_backend_pid()"):
        pass
    rows = await ask(
        database,
        "SELECT relname || ' ' || seq_scan + idx_scan + n_tup_ins + n_tup_upd + n_tup_del"
        " FROM pg_stat_user_tables WHERE relid IN (SELECT inhrelid FROM pg_inherits)",
    )
    return {name: int(count) for name, count in (row.split() for row in rows)}


async def statements(database: Database) -> list[str]:
    """What this database was asked about calevents' tables since it was emptied."""
    recorded = await ask(
        database,
        "SELECT query FROM pg_stat_statements WHERE dbid ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND query ~ '^(SELECT|INSERT|UPDATE|DELETE|WITH)' AND query !~ 'pg_'",
    )
    return [" ".join(query.split()) for query in recorded]


def unscoped(statement: str) -> list[str]:
    """The tables that a statement uses without saying of which company."""
    used = {
        table: len(re.findall(rf"(?:FROM|JOIN|INTO|UPDATE|,) {table}\b(?!\.)", statement))
        for table in TABLES
    }
    assert " AS calevents_" not in statement
    assert not re.search(rf"({'|'.join(TABLES)}) AS ", statement), "an alias hides from this test"
    equal = re.findall(r"(\w+)\.company_id = (?:(\w+)\.company_id|\$\d+(?:::BIGINT)?)", statement)
    given = dict.fromkeys(TABLES, 0)
    for left, right in equal:
        for side in (left, right):
            if side in given:
                given[side] += 1
    scoped = {left for left, right in equal if not right}
    for table in TABLES:
        inserted = len(re.findall(rf"INTO {table} \((?:\w+, )*company_id\b", statement))
        listed = len(re.findall(rf"\({table}\.company_id, [^)]*\) IN", statement))
        given[table] += inserted + listed
        if inserted or listed:
            scoped.add(table)
    for _ in equal:  # what equals a scoped table is scoped
        scoped |= {right for left, right in equal if left in scoped and right}
        scoped |= {left for left, right in equal if right in scoped}
    return [
        table
        for table, times in used.items()
        if times and (table not in scoped or given[table] < times)
    ]


class TestRepository(EventRepositoryContract):
    @pytest.fixture
    async def repository(self, database: Database) -> EventRepository:
        return database.repository


class TestLedger(NotificationLedgerContract):
    @pytest.fixture
    async def storage(self, clock: FixedClock, database: Database) -> LedgerStorage:
        return LedgerStorage(database.repository, SQLAlchemyLedger(database, clock=clock))


@pytest.mark.anyio
class TestOneCompany:
    async def test_what_it_does_touches_its_own_partitions_alone(
        self, server: PostgresServer
    ) -> None:
        """By the server's own count of scans, generic plans included."""
        database = Database(server.create_database())
        await database.migrate(partitions=PARTITIONS)
        before = await scans(database)
        clock = FixedClock(NOON)
        ledger = SQLAlchemyLedger(database, clock=clock)
        company = Calendar(database.repository, clock=clock).company(7)
        member = Calendar(database.repository, clock=clock).user(
            Member(company_id=7, id=1, country="US")
        )
        for number in range(12):  # more than the five after which a plan may become a generic one
            event = (
                await company.create_once(
                    {
                        "title": "Launch",
                        "start": NOON.replace(hour=12, minute=30),
                        "end": NOON.replace(hour=14),
                        "countries": ["US"],
                    },
                    idempotency_key=f"key-{number}",
                )
            ).event
            event = await company.update(event.id, {"countries": ["US", "DE"]})
            assert await member.get(event.id) == event
            assert (await member.list()).events
            assert (await member.list(view="all", sort="-start")).events
            key = NotificationKey(7, event.id, event.start)
            resolution = await ledger.begin(key, token="r", lease=60)
            assert resolution is not None
            people = [Recipient(id=n, country="US", addresses={"push": "to"}) for n in (1, 2)]
            resolution = await ledger.record(resolution, people, batch_size=1, lease=60)
            assert resolution is not None
            assert await ledger.resolved(resolution)
            while claim := await ledger.claim(
                key, token="c", worker="w", limit=1, lease=60, on_uncertain="retry", max_attempts=3
            ):
                assert await ledger.renew(key, "c", lease=60)
                assert await ledger.settle(claim, [Settlement(DeliveryState.SENT)])
            assert (await ledger.sweep(key)).closed is not None
            assert len((await ledger.explain(7, event.id, 1)).deliveries) == 1
            await company.delete(event.id)
        after = await scans(database)
        touched = {name for name, count in after.items() if count > before[name]}
        await database.close()
        assert len({name.rpartition("_p")[2] for name in touched}) == 1
        assert {name.rpartition("_p")[0] for name in touched} == set(TABLES)


@pytest.mark.anyio
class TestMigration:
    async def test_later_tables_are_partitioned_alike(self, postgres_url: str) -> None:
        async with Database(postgres_url) as database:
            await database.migrate("calevents_0001", partitions=3)
            with pytest.raises(ValueError, match="3"):
                await database.migrate(partitions=2)
            await database.migrate()
            parts = await ask(
                database,
                "SELECT inhparent::regclass::text FROM pg_inherits JOIN pg_class ON oid ="
                " inhrelid WHERE relkind = 'r'",
            )
            assert sorted(parts) == sorted(TABLES * 3)
            stored = await ask(
                database, "SELECT relname FROM pg_class WHERE 'fillfactor=50' = ANY (reloptions)"
            )
            assert sorted(stored) == [f"calevents_deliveries_p{number}" for number in range(3)]

    async def test_tables_that_are_there_are_not_split(self, postgres_url: str) -> None:
        async with Database(postgres_url) as database:
            await database.migrate("calevents_0001")
            with pytest.raises(ValueError, match="partitions"):
                await database.migrate(partitions=2)
            await database.migrate(partitions=0)

    async def test_partitions_are_postgresql_s(self) -> None:
        async with Database("sqlite+aiosqlite://") as database:
            with pytest.raises(ValueError, match="PostgreSQL"):
                await database.migrate(partitions=2)


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT a FROM calevents_events WHERE calevents_events.id = $1", ["calevents_events"]),
        ("DELETE FROM calevents_events WHERE calevents_events.company_id = $1::BIGINT", []),
        ("INSERT INTO calevents_events (company_id, id) VALUES ($1, $2)", []),
        ("INSERT INTO calevents_events (id) VALUES ($1)", ["calevents_events"]),
        (
            "SELECT * FROM calevents_events JOIN calevents_audiences ON"
            " calevents_audiences.event_id = calevents_events.id"
            " WHERE calevents_events.company_id = $1",
            ["calevents_audiences"],
        ),
        (
            "SELECT * FROM calevents_events JOIN calevents_audiences ON"
            " calevents_audiences.company_id = calevents_events.company_id",
            ["calevents_audiences", "calevents_events"],
        ),
        (
            "(SELECT * FROM calevents_events WHERE calevents_events.company_id = $1) UNION"
            " (SELECT * FROM calevents_events)",
            ["calevents_events"],
        ),
    ],
)
def test_the_judge_sees_a_missing_company(statement: str, tables: list[str]) -> None:
    """The test's own test."""
    assert sorted(unscoped(statement)) == tables
