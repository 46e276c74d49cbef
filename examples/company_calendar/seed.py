"""Fills the calendar through the HTTP API, as any client would."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import httpx2

from calevents import EventDraft
from examples.company_calendar.happenings import happenings
from examples.company_calendar.holiday_feed import COUNTRIES, holiday_drafts
from examples.company_calendar.members import ADMINISTRATORS, Administrator

__all__ = ["SeedingFailed", "seed"]

EVENTS = "/api/company/crm/v202506/events"

_AT_A_TIME = 8
_ATTEMPTS = 5

Progress = Callable[[int, int], None]
"""``progress(done, total)``"""


class SeedingFailed(Exception):
    """The API refused something; the text says what."""


@attrs.frozen
class _Work:
    """One event of one company that is to be there."""

    administrator: Administrator
    draft: EventDraft
    moves: int | None = None
    """The id of the event that it is the new version of."""


async def seed(client: httpx2.AsyncClient, now: datetime, progress: Progress) -> None:
    """Bring the calendar of every company up to ``now``; ``client`` knows the host's address.

    What is there stays: holidays are recognised by their title, country and day, and happenings,
    which are moved to the present hour, by their title. Every ``POST`` has an idempotency key
    besides, so that two hosts that share a database and start together don't double anything.

    Raises:
        SeedingFailed: the API refused something.
    """
    images = f"{client.base_url}".rstrip("/") + "/pages/images"
    around_now: list[_Work] = []
    holidays: list[_Work] = []
    for administrator in ADMINISTRATORS:
        events = await _events(client, administrator)
        ids = {event["title"]: event["id"] for event in events}
        around_now += [
            _Work(administrator, draft, moves=ids.get(draft["title"]))
            for draft in happenings(administrator.company_id, now, images)
        ]
        there = {_holiday_key(event) for event in events}
        countries = tuple(COUNTRIES) if administrator is ADMINISTRATORS[0] else ("US",)
        holidays += [
            _Work(administrator, draft)
            for draft in holiday_drafts((now.year, now.year + 1), countries)
            if _holiday_key(draft) not in there
        ]
    # What is on screen first comes first.
    work = around_now + holidays
    await _all(client, work, progress)


def _holiday_key(event: Any) -> tuple[str, tuple[str, ...], str]:
    """What tells holidays apart, of a draft or of an event: the day is that of the event's zone."""
    start = datetime.fromisoformat(event["start"])
    if start.tzinfo is not None:
        start = start.astimezone(ZoneInfo(event["canonical_time_zone"]))
    return event["title"], tuple(event["countries"]), start.date().isoformat()


async def _all(client: httpx2.AsyncClient, work: Sequence[_Work], progress: Progress) -> None:
    """Do all of the work, in its order, a few requests at a time."""
    left = iter(work)
    done = 0
    progress(done, len(work))

    async def worker() -> None:
        nonlocal done
        for item in left:
            await _write(client, item)
            done += 1
            progress(done, len(work))

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_A_TIME):
                workers.create_task(worker())
    except* SeedingFailed as failures:
        raise failures.exceptions[0] from None


async def _write(client: httpx2.AsyncClient, work: _Work) -> None:
    if work.moves is not None:
        await _call(client, work.administrator, "PATCH", f"{EVENTS}/{work.moves}", json=work.draft)
        return
    text = json.dumps(work.draft, sort_keys=True)
    key = f"seed-{sha256(text.encode()).hexdigest()}"
    await _call(
        client,
        work.administrator,
        "POST",
        EVENTS,
        json=work.draft,
        headers={"Idempotency-Key": key},
    )


async def _events(client: httpx2.AsyncClient, administrator: Administrator) -> list[dict[str, Any]]:
    """Every event of the company, page by page."""
    events: list[dict[str, Any]] = []
    parameters = {"limit": "100"}
    while True:
        page = await _call(client, administrator, "GET", EVENTS, params=parameters)
        events += page["events"]
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            return events
        parameters["cursor"] = cursor


async def _call(
    client: httpx2.AsyncClient,
    administrator: Administrator,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Any:
    """Send a request, again while the API asks for patience (409 and 503 with Retry-After)."""
    headers = {"Authorization": f"Bearer {administrator.token}", **(headers or {})}
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            response = await client.request(method, path, headers=headers, **options)
        except httpx2.HTTPError as error:
            raise SeedingFailed(f"{method} {path}: {error!r}") from error
        wait = response.headers.get("Retry-After", "")
        if response.is_success:
            return response.json()
        if not wait.isdigit() or attempt == _ATTEMPTS:
            break
        await asyncio.sleep(int(wait))
    raise SeedingFailed(f"{method} {path}: {response.status_code} {response.text}")
