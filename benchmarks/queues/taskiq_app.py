"""Taskiq on Redis lists, the quickest of its brokers."""

import asyncio
import os

import uvloop
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker

from benchmarks.queues.counting import Counter

broker = ListQueueBroker(os.environ["BROKER"], queue_name=os.environ["QUEUE"])
counter = Counter()
TOGETHER = 50


@broker.task(task_name="push")
async def push(event_id: int, recipient_id: int) -> None:
    """Send to one recipient: accepted at once."""
    counter.count()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def tell(state: TaskiqState) -> None:
    """The worker takes tasks."""
    counter.working()


async def main() -> None:
    """Enqueue a task for each recipient."""
    await broker.startup()
    counter.wait_for_word()
    expected = int(os.environ["EXPECTED"])
    for first in range(0, expected, TOGETHER):
        numbers = range(first, min(first + TOGETHER, expected))
        await asyncio.gather(*(push.kiq(1, number) for number in numbers))
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.run(main())
