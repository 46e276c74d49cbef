"""The calendars that reads are measured on: a long history, and a few events that haven't ended.

Every company has the same number of active events whatever the size of the data, so that what
grows is history alone. The rows are made by the library's own functions, the tables are its own.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import attrs
from sqlalchemy import Connection, Table, create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from calevents import Calendar, Event, Image, Member
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.sqlalchemy.rows import to_row
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.audience import audiences_of_event, sees
from tests.postgres import dsn

COMPANIES = 100
ACTIVE = 70
"""Events of each company that haven't ended."""
VISIBLE = 30
"""Of those, the ones that the company's measured user sees."""
MEMBERS = 1000
COUNTRY = "US"
SMALLEST = COMPANIES * 100

_BATCH = 20_000

Progress = Callable[[int], None]


def member(company_id: int) -> Member:
    """The user whose calendar is read."""
    return Member(company_id=company_id, id=company_id * MEMBERS, country=COUNTRY)


@attrs.frozen
class Kind:
    """An event of which many are made."""

    row: dict[str, Any]
    audiences: tuple[str, ...]

    @classmethod
    def of(cls, event: Event) -> "Kind":
        return cls(to_row(event), audiences_of_event(event))


def _kinds(company_id: int, now: datetime) -> Sequence[tuple[int, Kind]]:
    """Kinds of events, and how many of each are among a company's active ones."""
    user = member(company_id)
    plain = Event(
        id=1,
        company_id=company_id,
        title="Summer Product Launch",
        description="Join us for the unveiling of our new summer collection! " * 2,
        url="https://example.com/events/summer-launch",
        venue="Virtual Event - Zoom",
        color="#FF5733",
        start=now,
        end=now,
        time_zone="Eastern Time (US & Canada)",
        canonical_time_zone="America/New_York",
        images=(_image(111), _image(112)),
        created_at=now - timedelta(days=90),
        updated_at=now - timedelta(days=90),
    )
    events: list[tuple[int, Event]] = [
        (10, plain),
        (15, attrs.evolve(plain, countries=("US", "CA", "MX"), images=(_image(111),))),
        (3, attrs.evolve(plain, user_id=user.id, images=())),
        (2, attrs.evolve(plain, user_id=user.id, personal=True, images=(), url=None)),
    ]
    assert sum(count for count, _ in events) == VISIBLE
    events += [(20, attrs.evolve(plain, countries=("DE", "FR")))]
    others = range(user.id + 1, user.id + 21)
    events += [(1, attrs.evolve(plain, user_id=i, personal=i % 2 == 0, images=())) for i in others]
    assert sum(count for count, _ in events) == ACTIVE
    assert sum(count for count, event in events if sees(user, event)) == VISIBLE
    return [(count, Kind.of(event)) for count, event in events]


def _image(number: int) -> Image:
    name = f"https://example.com/images/summer-launch-{number}"
    return Image(
        id=number,
        position=number - 110,
        mini=f"{name}-mini.jpg",
        detail=f"{name}-detail.jpg",
        full=f"{name}.jpg",
    )


def events(count: int, now: datetime) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The rows of ``count`` events and their audiences, in the order of their creation.

    Raises ``ValueError`` where ``count`` leaves no room for the active ones.
    """
    if count < SMALLEST or count % COMPANIES:
        raise ValueError(f"take a multiple of {COMPANIES}, at least {SMALLEST}, not {count}")
    kinds = [_kinds(company_id, now) for company_id in range(1, COMPANIES + 1)]
    past = count - COMPANIES * ACTIVE
    years = timedelta(days=3 * 365)
    number = 0
    for number in range(1, past + 1):
        company = kinds[number % COMPANIES]
        # The same proportions as among the active: most kinds are for one user.
        turn = number // COMPANIES
        kind = company[turn % 7 if turn % 7 < 4 else 4 + turn % (len(company) - 4)][1]
        start = now - timedelta(days=1) - years * ((past - number) / past)
        yield _row(kind, number, start, start + timedelta(hours=2)), kind.audiences
    for index in range(ACTIVE):
        for company in kinds:
            number += 1
            # None of them ends, or starts, while it is measured.
            start = now + timedelta(days=index % 29 - 1, hours=12)
            end = now + timedelta(days=30, hours=index)
            kind = _kind_at(company, index)
            yield _row(kind, number, start, end), kind.audiences


def _kind_at(company: Sequence[tuple[int, Kind]], index: int) -> Kind:
    for count, kind in company:
        if index < count:
            return kind
        index -= count
    raise IndexError


def _row(kind: Kind, number: int, start: datetime, end: datetime) -> dict[str, Any]:
    return {
        **kind.row,
        "id": number,
        "title": f"Summer Product Launch {number}",
        "starts_at": start,
        "ends_at": end,
    }


def load_postgresql(url: str, count: int, progress: Progress) -> None:
    """Create the tables in the empty database at ``url`` and load ``count`` events."""
    asyncio.run(_load_postgresql(url, count, progress))


async def _load_postgresql(url: str, count: int, progress: Progress) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    async with Database(url) as database:
        await database.create_tables()
        tables = database.tables
    connection = await asyncpg.connect(dsn(url))
    try:
        # COPY is binary, and so must the codec be: a version byte, then the text.
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda value: b"\x01" + json.dumps(value).encode(),
            decoder=lambda value: json.loads(value[1:]),
            format="binary",
        )
        for table in (tables.events, tables.audiences):
            for statement in _indexes(table, drop=True):
                await connection.execute(statement)
        rows = events(count, now)
        while batch := list(islice(rows, _BATCH)):
            await _copy(connection, tables.events, [row for row, _ in batch])
            await _copy(connection, tables.audiences, _audience_rows(batch))
            progress(len(batch))
        await connection.execute("SET maintenance_work_mem = '512MB'")
        for table in (tables.events, tables.audiences):
            for statement in _indexes(table, drop=False):
                await connection.execute(statement)
        for table in tables.metadata.tables.values():
            await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table.name}")
        await connection.execute("CHECKPOINT")
        await _check(url, connection)
    finally:
        await connection.close()


def _indexes(table: Table, *, drop: bool) -> Iterator[str]:
    """The statements that drop or create a table's indexes: they are built faster afterwards."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    key = table.primary_key
    key.name = key.name or f"{table.name}_pkey"
    constraint = DropConstraint(key) if drop else AddConstraint(key, isolate_from_table=False)
    yield str(constraint.compile(dialect=dialect))
    for index in table.indexes:
        element = DropIndex(index) if drop else CreateIndex(index)
        yield str(element.compile(dialect=dialect))


async def _copy(
    connection: "asyncpg.Connection[asyncpg.Record]", table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    await connection.copy_records_to_table(
        table.name, columns=list(rows[0]), records=[tuple(row.values()) for row in rows]
    )


def _audience_rows(
    batch: Sequence[tuple[dict[str, Any], tuple[str, ...]]],
) -> Sequence[dict[str, Any]]:
    return [
        {
            "company_id": row["company_id"],
            "audience": audience,
            "starts_at": row["starts_at"],
            "event_id": row["id"],
            "ends_at": row["ends_at"],
        }
        for row, audiences in batch
        for audience in audiences
    ]


async def _check(url: str, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """See that what was loaded is what the library would have written."""
    async with Database(url) as database:
        calendar = Calendar(database.repository)
        audiences = database.tables.audiences.name
        query = (
            f"SELECT audience FROM {audiences} WHERE company_id = $1 AND event_id = $2"
            " AND starts_at = $3 AND ends_at = $4"
        )
        pages = [
            await scope.list(view="all", sort=sort, limit=100)
            for scope in (calendar.company(7), calendar.user(member(7)))
            for sort in ("start", "-start")
        ]
        for event in {event.id: event for page in pages for event in page.events}.values():
            key = (event.company_id, event.id, event.start, event.end)
            found = {row["audience"] for row in await connection.fetch(query, *key)}
            assert found == set(audiences_of_event(event)), event


def server_version(url: str) -> str:
    """The version of the PostgreSQL at ``url``."""

    async def ask() -> str:
        connection = await asyncpg.connect(dsn(url))
        try:
            answer: str = await connection.fetchval("SHOW server_version")
        finally:
            await connection.close()
        return answer

    return asyncio.run(ask())


def load_sqlite(path: Path, count: int, progress: Progress) -> None:
    """Make a SQLite database at ``path`` with ``count`` events."""
    now = datetime.now(UTC).replace(microsecond=0)
    tables = Tables()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        # Nothing of the half-made file is ever kept, so nothing needs to be safe yet.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        tables.metadata.create_all(connection)
        indexes = [*tables.events.indexes, *tables.audiences.indexes]
        for index in indexes:
            connection.execute(DropIndex(index))
        fill = {table: _Filler(table) for table in (tables.events, tables.audiences)}
        rows = events(count, now)
        while batch := list(islice(rows, _BATCH)):
            fill[tables.events](connection, [row for row, _ in batch])
            fill[tables.audiences](connection, _audience_rows(batch))
            progress(len(batch))
        for index in indexes:
            connection.execute(CreateIndex(index))
        connection.commit()
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.commit()
    engine.dispose()


class _Filler:
    """Inserts many rows into a table of SQLite: SQLAlchemy's own way takes twice as long."""

    def __init__(self, table: Table) -> None:
        dialect = sqlite.dialect()
        names = [column.name for column in table.columns]
        marks = ", ".join("?" * len(names))
        self._statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
        self._columns = [
            (name, processor and _remembering(processor))
            for name, processor in (
                (column.name, column.type.dialect_impl(dialect).bind_processor(dialect))
                for column in table.columns
            )
        ]

    def __call__(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        columns = self._columns
        values = [
            tuple(
                row.get(name) if processor is None else processor(row.get(name))
                for name, processor in columns
            )
            for row in rows
        ]
        connection.exec_driver_sql(self._statement, values)


def _remembering(process: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function for values that come again and again."""
    remembered = lru_cache(10_000)(process)
    documents: dict[int, Any] = {}

    def processed(value: Any) -> Any:
        if not isinstance(value, list):
            return remembered(value)
        # A list of one of the few kinds, which live as long as the loading.
        if id(value) not in documents:
            documents[id(value)] = process(value)
        return documents[id(value)]

    return processed
