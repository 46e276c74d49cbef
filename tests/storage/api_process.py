"""One of several processes that serve the same database; run by its tests.

It says that it is ready, waits for a line, does its job and answers a JSON document.
"""

import asyncio
import json
import sys
from typing import Any

from calevents import (
    Calendar,
    ConcurrentWrite,
    EventDraft,
    IdempotencyKeyInFlight,
    PreconditionFailed,
    Scope,
)
from calevents.adapters.sqlalchemy import Database
from calevents.testing.events import NOON

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON.replace(hour=13), countries=["US"])


async def count(company: Scope, event_id: int, times: int) -> Any:
    """Count up in an event's description, as a careful client does: by the version it read."""
    conflicts = 0
    while times:
        event = await company.get(event_id)
        patch = {"description": str(int(event.description or 0) + 1)}
        try:
            await company.update(event_id, patch, if_match={event.version})
        except PreconditionFailed:
            conflicts += 1
        else:
            times -= 1
    return conflicts


async def merge(company: Scope, event_id: int, times: int) -> Any:
    """Switch the event to and fro, without a version: every write merges with the others'."""
    for number in range(times):
        while True:
            try:
                await company.update(
                    event_id, {"venue": str(number), "countries": ["US", "DE"][: 1 + number % 2]}
                )
            except ConcurrentWrite:
                continue
            break
    return None


async def once(company: Scope, keys: int, _: int) -> Any:
    """Create an event with each of some idempotency keys, and try again while one is in flight."""
    answers = []
    for number in range(keys):
        while True:
            try:
                creation = await company.create_once(DRAFT, idempotency_key=f"key-{number}")
            except IdempotencyKeyInFlight:
                continue
            answers.append([creation.event.id, creation.replayed])
            break
    return answers


async def main(url: str, job: str, *numbers: str) -> None:
    async with Database(url) as database:
        company = Calendar(database.repository).company(1)
        await company.list()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        answer = await {"count": count, "merge": merge, "once": once}[job](
            company, *map(int, numbers)
        )
        sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
