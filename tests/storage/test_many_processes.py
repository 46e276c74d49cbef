"""Several processes on one PostgreSQL: no update is lost, and a key creates one event."""

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from calevents import Calendar, IdempotencyKeyInFlight
from calevents.adapters.sqlalchemy import Database
from calevents.audience import audiences_of_event
from calevents.testing.events import NOON

pytestmark = pytest.mark.anyio

PROCESSES = 3
DRAFT = {"title": "Launch", "start": NOON, "end": NOON.replace(hour=13), "countries": ["US"]}


def at_once(url: str, job: str, *numbers: int) -> list[Any]:
    """Have several processes do a job at the same time; answer what each answers."""
    command = [sys.executable, str(Path(__file__).with_name("api_process.py")), url, job]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, *map(str, numbers)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
        assert [process.returncode for process in processes] == [0] * PROCESSES
        return answers


async def test_no_update_is_lost(postgres_url: str) -> None:
    async with Database(postgres_url) as database:
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        at_once(postgres_url, "count", event.id, 20)
        stored = await company.get(event.id)
        assert stored.description == str(PROCESSES * 20)
        assert stored.version == 1 + PROCESSES * 20


async def test_what_belongs_to_an_event_stays_together(postgres_url: str) -> None:
    async with Database(postgres_url) as database:
        await database.create_tables()
        company = Calendar(database.repository).company(1)
        event = await company.create(DRAFT)
        at_once(postgres_url, "merge", event.id, 20)
        stored = await company.get(event.id)
        assert stored.venue == "19"
        async with database.reading() as connection:
            side = database.tables.audiences
            rows = await connection.execute(side.select().with_only_columns(side.c.audience))
            assert sorted(rows.scalars()) == sorted(audiences_of_event(stored))


async def test_a_key_creates_one_event_whichever_process_it_reaches(postgres_url: str) -> None:
    async with Database(postgres_url) as database:
        await database.create_tables()
        answers = at_once(postgres_url, "once", 20, 0)
        stored = (await Calendar(database.repository).company(1).list(limit=100)).events
        assert len(stored) == 20
        for answered in zip(*answers, strict=True):
            assert len({event_id for event_id, _ in answered}) == 1
            assert sorted(replayed for _, replayed in answered) == [False, True, True]


async def test_a_second_request_is_told_that_the_first_is_in_flight(postgres_url: str) -> None:
    """Whatever holds the first one up, here a lock, and in whatever process it is."""
    async with Database(postgres_url) as one, Database(postgres_url) as two:
        await one.create_tables()
        first, second = (Calendar(each.repository).company(1) for each in (one, two))
        async with two.transaction() as connection:
            await connection.execute(text("LOCK TABLE calevents_events IN SHARE MODE"))
            creating = asyncio.ensure_future(first.create_once(DRAFT, idempotency_key="k"))
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not await connection.scalar(waiting):
                pass
            with pytest.raises(IdempotencyKeyInFlight):
                await second.create_once(DRAFT, idempotency_key="k")
            assert not creating.done()
        event = (await creating).event
        replayed = await second.create_once(DRAFT, idempotency_key="k")
        assert replayed.replayed
        assert replayed.event == event
