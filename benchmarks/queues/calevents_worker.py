"""A dispatcher in a process of its own, as a host runs it; ends when nothing is due any more."""

import asyncio
import os
import sys
from collections.abc import Sequence

import uvloop
from sqlalchemy import BigInteger, Column, MetaData, RowMapping, String, Table, select
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.queues.counting import Counter
from calevents import Delivery, Event, Outcome, Recipient, Result
from calevents.adapters.sqlalchemy import Database, SelectDirectory
from calevents.dispatcher import Dispatcher

CLAIM_SIZE = 500
"""What providers of pushes take in one call."""

members = Table(
    "bench_members",
    MetaData(),
    Column("company_id", BigInteger, primary_key=True),
    Column("id", BigInteger, primary_key=True),
    Column("country", String(2)),
    Column("locale", String(16)),
    Column("time_zone", String(64)),
    Column("token", String(64)),
)


def recipient(row: RowMapping) -> Recipient:
    """A recipient of a host's row."""
    return Recipient(
        id=row["id"],
        country=row["country"],
        locale=row["locale"],
        time_zone=row["time_zone"],
        addresses={"push": row["token"]},
    )


class AcceptingNotifier:
    """Takes everything, at once or after so many seconds."""

    claim_size = CLAIM_SIZE

    def __init__(self, counter: Counter, seconds: float) -> None:
        self._counter = counter
        self._seconds = seconds
        self._accepted = Result(Outcome.ACCEPTED)

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        """Count."""
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self._counter.left -= len(deliveries)
        return [self._accepted] * len(deliveries)


async def main() -> None:
    """Wait for a word, do what is due, tell that it is done."""
    counter = Counter()
    url = os.environ["DATABASE_URL"]
    engine = create_async_engine(url)
    directory = SelectDirectory(
        engine,
        select(members),
        company_id=members.c.company_id,
        user_id=members.c.id,
        country=members.c.country,
        recipient=recipient,
    )
    async with Database(url) as database:
        dispatcher = Dispatcher(
            database.ledger,
            directory,
            AcceptingNotifier(counter, float(os.environ["SECONDS_A_CALL"])),
            page_size=int(os.environ["PAGE_SIZE"]),
            concurrency=int(os.environ["CONCURRENCY"]),
            poll_interval=0.05,
        )
        await database.ledger.due(limit=1)  # the connection is there before the measure begins
        await asyncio.to_thread(counter.wait_for_word)
        async with dispatcher:
            await asyncio.to_thread(sys.stdin.readline)
        counter.write()
    await engine.dispose()


uvloop.run(main())
