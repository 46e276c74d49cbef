"""What the demo fills itself with, and that a second start doubles nothing."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from examples.company_calendar import seed as seeding
from examples.company_calendar.happenings import happenings
from examples.company_calendar.holiday_feed import COUNTRIES, holiday_drafts
from examples.company_calendar.seed import SeedingFailed, seed
from tests.example.running import COMPANY_EVENTS

NOW = datetime(2026, 11, 23, 11, 13, 14, tzinfo=UTC)
NORTHWIND = {"Authorization": "Bearer demo-company-67890"}


@pytest.fixture
def few_countries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "COUNTRIES", {name: COUNTRIES[name] for name in ("US", "DE")})


def unseen(_done: int, _total: int) -> None:
    """A progress that nobody looks at."""


async def events_of(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    parameters = {"limit": "100"}
    while True:
        response = await client.get(COMPANY_EVENTS, headers=NORTHWIND, params=parameters)
        page = response.json()
        events += page["events"]
        if page["meta"]["next_cursor"] is None:
            return events
        parameters["cursor"] = page["meta"]["next_cursor"]


def without_image_ids(event: dict[str, Any]) -> dict[str, Any]:
    """Images that are written anew are new ones."""
    return {**event, "images": [image["full"] for image in event["images"]]}


def told_apart(event: dict[str, Any]) -> tuple[str, str, str]:
    return event["title"], event["start"], str(event["countries"])


def test_holidays_are_whole_days_in_their_countrys_zone() -> None:
    drafts = list(holiday_drafts((2026, 2027), tuple(COUNTRIES)))
    assert len(COUNTRIES) >= 10
    per_country = Counter(draft["countries"][0] for draft in drafts if draft["countries"])
    assert per_country.keys() == COUNTRIES.keys()
    assert min(per_country.values()) >= 5
    for draft in drafts:
        [country] = draft["countries"] or ()
        assert draft["time_zone"] == COUNTRIES[country][0]
        start, end = (datetime.fromisoformat(str(draft[key])) for key in ("start", "end"))
        assert start.tzinfo is None
        assert (start.hour, start.minute, end - start) == (0, 0, timedelta(days=1))
    unity = [
        draft for draft in drafts if draft["countries"] == ["DE"] and "Unity" in draft["title"]
    ]
    assert [draft["start"] for draft in unity] == ["2026-10-03T00:00:00", "2027-10-03T00:00:00"]


@pytest.mark.parametrize("minute", [0, 4, 59])
def test_every_status_is_there_at_once(minute: int) -> None:
    now = datetime(2026, 12, 31, 23, minute, 59, 999999, tzinfo=UTC)
    drafts = {draft["title"]: draft for draft in happenings(67890, now, "http://127.0.0.1/i")}
    launch = drafts["Winter collection launch"]
    left = datetime.fromisoformat(str(launch["start"])) - now
    # It stays on screen for half an hour, and its push has gone out by then.
    assert timedelta(minutes=30) < left < timedelta(hours=1)
    assert "US" in (launch["countries"] or ())
    assert "DE" not in (launch["countries"] or ())
    training = drafts["Product training"]
    assert datetime.fromisoformat(str(training["start"])) < now
    assert datetime.fromisoformat(str(training["end"])) > now + timedelta(hours=1)
    assert datetime.fromisoformat(str(drafts["Leadership breakfast"]["end"])) < now


async def test_it_fills_the_calendar_once(client: httpx2.AsyncClient, few_countries: None) -> None:
    seen: list[tuple[int, int]] = []
    await seed(client, NOW, lambda done, total: seen.append((done, total)))
    first = [without_image_ids(event) for event in await events_of(client)]
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] >= len(first) > 40
    assert [done for done, _ in seen] == list(range(len(seen)))

    await seed(client, NOW, unseen)
    assert [without_image_ids(event) for event in await events_of(client)] == first


async def test_a_later_start_moves_what_is_around_now(
    client: httpx2.AsyncClient, few_countries: None
) -> None:
    await seed(client, NOW, unseen)
    before = {event["id"]: event for event in await events_of(client)}
    # Days later, idempotency keys are forgotten.
    await seed(client, NOW + timedelta(days=3), unseen)
    after = {event["id"]: event for event in await events_of(client)}
    assert after.keys() == before.keys()
    moved = {event["title"] for event in after.values() if event != before[event["id"]]}
    assert moved == {draft["title"] for draft in happenings(67890, NOW, "http://127.0.0.1/i")}


async def test_a_new_year_is_added(client: httpx2.AsyncClient, few_countries: None) -> None:
    await seed(client, NOW, unseen)
    before = {event["id"] for event in await events_of(client)}
    await seed(client, NOW.replace(year=2027), unseen)
    after = await events_of(client)
    added = [event for event in after if event["id"] not in before]
    # A holiday of 2028 may be observed on the last day of 2027.
    assert {event["start"][:4] for event in added} in ({"2028"}, {"2027", "2028"})
    assert max(Counter(told_apart(event) for event in after).values()) == 1


async def test_what_the_api_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "COUNTRIES", {})

    def refuse(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, json={"detail": "no"})

    transport = httpx2.MockTransport(refuse)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        with pytest.raises(SeedingFailed, match="401"):
            await seed(client, NOW, unseen)


async def test_it_waits_when_the_api_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "COUNTRIES", {})
    refused: set[tuple[str, bytes]] = set()

    def answer_at_the_second_time(request: httpx2.Request) -> httpx2.Response:
        this = (request.method, request.content)
        if this not in refused:
            refused.add(this)
            return httpx2.Response(503, headers={"Retry-After": "0"})
        if request.method == "GET":
            return httpx2.Response(200, json={"events": [], "meta": {"next_cursor": None}})
        return httpx2.Response(201, json={})

    seen: list[tuple[int, int]] = []
    transport = httpx2.MockTransport(answer_at_the_second_time)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await seed(client, NOW, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
