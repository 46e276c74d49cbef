"""Pages of recipients on asyncpg: copied where no delivery can exist yet, inserted elsewhere."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.schema import CreateSchema

from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.ledger import DeliveryState, NotificationState
from calevents.notification import Recipient
from calevents.testing import FixedClock
from calevents.testing.events import NOON
from calevents.testing.ledger_contract import LedgerStorage
from calevents.testing.ledger_contract.scene import AFTER_LEASE, Scene, key_of, people

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[("public", "calevents_"), ("host's", 'the "calendar" ')], ids=repr)
async def scene(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Scene]:
    schema, prefix = request.param
    clock = FixedClock(NOON - timedelta(minutes=30))
    async with Database(postgres_url, schema=schema, table_prefix=prefix) as database:
        async with database.engine.begin() as connection:
            await connection.execute(CreateSchema(schema, if_not_exists=True))
        await database.create_tables()
        ledger = SQLAlchemyLedger(database, clock=clock)
        yield Scene(LedgerStorage(database.repository, ledger), clock)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each COPY had."""
    sizes: list[int] = []
    copy: Callable[..., Awaitable[str]] = asyncpg.Connection.copy_records_to_table

    async def counted(self: Any, table: str, *, records: list[Any], **options: Any) -> str:
        sizes.append(len(records))
        return await copy(self, table, records=records, **options)

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", counted)
    return sizes


async def test_a_new_event_is_copied_page_by_page(scene: Scene, copied: list[int]) -> None:
    ours, theirs = await scene.event(id=7), await scene.event(id=7, company_id=2)
    search = await scene.begin(key_of(ours))
    for page in ((1, 2, 3), (4, 9)):
        assert search is not None
        search = await scene.record(search, people(*page))
    assert search is not None
    assert await scene.ledger.resolved(search)
    await scene.resolve(theirs, people(2, 3))
    assert copied == [3, 2, 2]
    assert sorted(await scene.send(key_of(ours))) == [1, 2, 3, 4, 9]
    assert sorted(await scene.send(key_of(theirs))) == [2, 3]
    assert await scene.finish(key_of(ours)) is NotificationState.SENT


async def test_a_search_is_taken_over_between_two_pages(scene: Scene, copied: list[int]) -> None:
    event = await scene.event()
    key = key_of(event)
    first = await scene.begin(key)
    assert first is not None
    first = await scene.record(first, people(1, 2))
    assert first is not None
    scene.clock.advance(AFTER_LEASE)
    second = await scene.begin(key)
    assert second is not None
    assert await scene.record(first, people(3, 4)) is None
    second = await scene.record(second, people(3, 4, 5))
    assert second is not None
    assert await scene.record(first, people(6)) is None
    assert await scene.ledger.resolved(second)
    assert copied == [2, 3]
    assert Counter(await scene.send(key)) == Counter(range(1, 6))


async def test_what_is_there_is_inserted_around(scene: Scene, copied: list[int]) -> None:
    """Meant for others and for everybody again: nobody is called twice, or forgotten."""
    event = await scene.event()
    key = await scene.resolve(event, people(2, 4, 6), size=1)
    sent = (await scene.claimed(key, limit=1)).deliveries[0].recipient_id
    event = await scene.change(event, countries=("DE",))
    event = await scene.change(event, countries=())
    del copied[:]
    search = await scene.begin(key)
    for page in ((1, 2, 3), (5, 6, 7), (8, 9)):
        assert search is not None
        search = await scene.record(search, people(*page))
    assert copied == [2]
    called = await scene.send(key)
    assert sorted([sent, *called]) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


async def test_pages_that_do_not_ascend_are_inserted(scene: Scene, copied: list[int]) -> None:
    event = await scene.event()
    key = await scene.resolve(event, people(3, 1, 2))
    assert not copied
    assert sorted(await scene.send(key)) == [1, 2, 3]


async def test_a_page_that_cannot_be_written_leaves_nothing(scene: Scene) -> None:
    event = await scene.event()
    search = await scene.begin(key_of(event))
    assert search is not None
    unwritable = Recipient(id=2, addresses={"push": "\ud800"})
    with pytest.raises(UnicodeEncodeError):
        await scene.record(search, [*people(1), unwritable])
    assert await scene.states(event, 1) == []
    assert await scene.record(search, people(1, 2)) is not None
    assert await scene.states(event, 1) == [DeliveryState.PENDING]
