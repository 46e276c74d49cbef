"""procrastinate on the same PostgreSQL; tasks are deferred in batches, as it recommends."""

import asyncio
import os
import sys

import uvloop
from procrastinate import App, PsycopgConnector

from benchmarks.queues.counting import Counter

app = App(connector=PsycopgConnector(conninfo=os.environ["DSN"], min_size=4, max_size=20))
counter = Counter()
TOGETHER = 1000


@app.task(name="push", queue="push")
async def push(event_id: int, recipient_id: int) -> None:
    """Send to one recipient: accepted at once."""
    counter.count()


async def work() -> None:
    """Run the worker until it is stopped."""
    async with app.open_async():
        counter.working()
        await app.run_worker_async(queues=["push"], concurrency=20, delete_jobs="successful")


async def defer() -> None:
    """Enqueue a task for each recipient."""
    expected = int(os.environ["EXPECTED"])
    async with app.open_async():
        await asyncio.to_thread(counter.wait_for_word)
        for first in range(0, expected, TOGETHER):
            numbers = range(first, min(first + TOGETHER, expected))
            await push.batch_defer_async(
                *({"event_id": 1, "recipient_id": number} for number in numbers)
            )


async def prepare() -> None:
    """Create the tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


if __name__ == "__main__":
    uvloop.run({"work": work, "defer": defer, "prepare": prepare}[sys.argv[1]]())
