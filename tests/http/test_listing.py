"""Lists: order, pages, parameters."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from calevents.testing import FixedClock
from tests.http.callers import Caller
from tests.http.test_errors import problem

DAY = datetime(2025, 6, 16, tzinfo=UTC)


async def fill(caller: Caller, count: int, **fields: object) -> list[str]:
    """So many events, three of which always start together, in the order of a list."""
    for number in range(count):
        start = DAY + timedelta(hours=number // 3)
        await caller.created(
            title=f"{caller.name} {number:02}",
            start=start.isoformat(),
            end=(start + timedelta(hours=1)).isoformat(),
            **fields,
        )
    return [f"{caller.name} {number:02}" for number in range(count)]


async def test_the_envelope(owner: Caller, clock: FixedClock) -> None:
    clock.advance(timedelta(microseconds=5))
    answer = await owner.list_events()
    assert answer.json() == {
        "events": [],
        "meta": {
            "request_id": answer.headers["x-request-id"],
            "timestamp": "2025-06-15T12:00:00.000005Z",
            "next_cursor": None,
        },
    }
    assert list(answer.json()["meta"]) == ["request_id", "timestamp", "next_cursor"]
    assert "link" not in answer.headers


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11, 100])
@pytest.mark.parametrize("sort", ["start", "-start"])
async def test_pages_by_cursor_and_by_link(
    owner: Caller, globex: Caller, zoe: Caller, limit: int, sort: str
) -> None:
    for stranger in (globex, zoe):
        await fill(stranger, 2)
    titles = await fill(owner, 10)
    if sort == "-start":
        titles.reverse()
    pages = [page async for page in owner.pages(limit=limit, sort=sort)]
    assert [event["title"] for page in pages for event in page["events"]] == titles
    assert [len(page["events"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1]["events"]

    followed = []
    url = f"{owner.events}?limit={limit}&sort={sort}&view=all&from=2025-06-15T00:00:00%2B02:00"
    while url:
        answer = await owner.send("GET", url)
        assert answer.status_code == 200
        followed += [event["title"] for event in answer.json()["events"]]
        cursor = answer.json()["meta"]["next_cursor"]
        assert ("link" in answer.headers) == (cursor is not None)
        url = answer.links.get("next", {}).get("url", "")
        if url:
            assert parse_qs(urlsplit(url).query) == {
                "limit": [str(limit)],
                "sort": [sort],
                "view": ["all"],
                "from": ["2025-06-15T00:00:00+02:00"],
                "cursor": [cursor],
            }
    assert followed == titles


async def test_events_that_stay_put_are_neither_repeated_nor_skipped(owner: Caller) -> None:
    titles = await fill(owner, 12)
    first = (await owner.list_events(limit=5)).json()
    seen = [event["title"] for event in first["events"]]
    await owner.delete(first["events"][-1]["id"])  # the one that the cursor names
    await owner.delete(first["events"][0]["id"])
    for start in (DAY - timedelta(hours=1), DAY + timedelta(hours=9)):
        end = start + timedelta(hours=1)
        await owner.created(title="New", start=start.isoformat(), end=end.isoformat())
    async for page in owner.pages(limit=5, cursor=first["meta"]["next_cursor"]):
        seen += [event["title"] for event in page["events"]]
    assert [title for title in seen if title != "New"] == titles


async def test_limits(acme: Caller) -> None:
    titles = await fill(acme, 52)
    assert await acme.titles() == titles[:50]
    assert await acme.titles(limit=100) == titles


async def test_views(acme: Caller, ada: Caller, clock: FixedClock) -> None:
    await acme.created(title="on")
    off = await acme.created(title="off")
    await acme.patch(off["id"], {"active": False})
    await ada.created(title="mine")
    assert await acme.titles() == ["on", "off"]
    assert await acme.titles(view="all") == ["on", "off"]
    assert await acme.titles(view="active") == ["on"]
    assert await acme.titles(view="past") == []
    assert await ada.titles() == ["on", "mine"]
    clock.now = datetime(2025, 6, 15, 16, tzinfo=UTC)
    assert await acme.titles() == ["on", "off"]
    assert await acme.titles(view="active") == []
    assert await acme.titles(view="past") == ["on", "off"]
    assert await ada.titles() == []
    assert await ada.titles(view="past") == ["on", "mine"]
    assert await ada.titles(view="all") == ["on", "mine"]


@pytest.mark.parametrize(
    ("start", "end", "listed"),
    [
        ("2025-06-15T16:00:00Z", None, False),
        ("2025-06-15T15:59:59.999999Z", None, True),
        (None, "2025-06-15T14:00:00Z", False),
        (None, "2025-06-15T14:00:00.000001Z", True),
        ("2025-06-15T14:30:00Z", "2025-06-15T15:00:00Z", True),
        ("2025-06-15T16:30:00+02:00", "2025-06-15t15:00z", True),
        ("2025-06-15T16:00:00Z", "2025-06-15T17:00:00Z", False),
    ],
)
async def test_from_and_to_overlap_half_open(
    owner: Caller, start: str | None, end: str | None, listed: bool
) -> None:
    await owner.created()
    given = {"from_": start, "to": end}
    parameters = {name: value for name, value in given.items() if value is not None}
    assert await owner.titles(**parameters) == (["Training"] if listed else [])


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "now",
    [
        FIRST,
        FIRST + timedelta(minutes=30),
        FIRST + timedelta(hours=1),
        LAST - timedelta(hours=1),
        LAST - timedelta(minutes=30),
        LAST,
    ],
    ids=datetime.isoformat,
)
async def test_the_first_and_the_last_hour_of_the_calendar(
    owner: Caller, clock: FixedClock, now: datetime
) -> None:
    await owner.created(title="first", start="0001-01-01T00:00:00Z", end="0001-01-01T00:45:00Z")
    await owner.created(
        title="last", start="9999-12-31T23:45:00Z", end="9999-12-31T23:59:59.999999Z"
    )
    clock.now = now
    ranges: list[tuple[dict[str, str], list[str]]] = [
        ({}, ["first", "last"]),
        ({"from_": "0001-01-01T00:00:00Z"}, ["first", "last"]),
        ({"to": "9999-12-31T23:59:59.999999Z"}, ["first", "last"]),
        (
            {"from_": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"},
            ["first", "last"],
        ),
        ({"from_": "0001-01-01T00:00:00-00:46"}, ["last"]),
        ({"to": "9999-12-31T23:59:59.999999+00:15"}, ["first"]),
        ({"from_": "9999-12-31T23:45:00Z"}, ["last"]),
        ({"from_": "9999-12-31T23:59:59.999999Z"}, []),
        ({"to": "0001-01-01T00:00:00Z"}, []),
        ({"to": "0001-01-01T00:00:00.000001Z"}, ["first"]),
    ]
    for within, listed in ranges:
        for sort, expected in (("start", listed), ("-start", listed[::-1])):
            assert await owner.titles(view="all", sort=sort, **within) == expected, within
            # Pages of one: their cursors stand at the first or the last instant.
            pages = owner.pages(view="all", sort=sort, limit=1, **within)
            paged = [event["title"] async for page in pages for event in page["events"]]
            assert paged == expected, within
        everything = (await owner.list_events(view="all", **within)).json()["events"]
        for status in ("STARTING SOON", "IN PROGRESS", "CONCLUDED"):
            wanted = [event["title"] for event in everything if event["status"] == status]
            assert await owner.titles(view="all", status=status, **within) == wanted, within
        for view, active in (("active", True), ("past", False)):
            wanted = [event["title"] for event in everything if event["active"] is active]
            assert await owner.titles(view=view, **within) == wanted, within


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("now", [FIRST, LAST], ids=datetime.isoformat)
async def test_bounds_outside_the_calendar_are_refused(
    owner: Caller, clock: FixedClock, now: datetime, method: str
) -> None:
    clock.now = now
    for query in (
        "from=0001-01-01T00:00:00%2B00:01",
        "to=0001-01-01T00:00:00%2B23:59",
        "from=9999-12-31T23:59:00-00:01",
        "to=9999-12-31T23:59:59.999999-23:59",
        "from=0000-12-31T23:59:59Z",
        "to=10000-01-01T00:00:00Z",
    ):
        answer = await owner.send(method, f"{owner.events}?{query}")
        assert answer.status_code == 400, query
    answer = await owner.send(method, f"{owner.events}?status=STARTING+SOON")
    assert answer.status_code == 200


@pytest.mark.parametrize("status", ["STARTING SOON", "IN PROGRESS", "CONCLUDED"])
async def test_status(owner: Caller, clock: FixedClock, status: str) -> None:
    for hours in range(-3, 3):
        start = clock.now + timedelta(hours=hours, minutes=30)
        end = start + timedelta(hours=1)
        await owner.created(start=start.isoformat(), end=end.isoformat(), title=str(hours))
    listed = (await owner.list_events(status=status, view="all")).json()["events"]
    assert {event["status"] for event in listed} == {status}
    everything = (await owner.list_events(view="all")).json()["events"]
    assert listed == [event for event in everything if event["status"] == status]


async def test_country_and_user_are_the_companys_to_ask(acme: Caller, globex: Caller) -> None:
    for caller in (acme, globex):
        await caller.created(title=f"{caller.name} US", countries=["CA", "US"])
        await caller.created(title=f"{caller.name} DE", countries=["DE"])
        await caller.created(title=f"{caller.name} 1", user_id=1)
        await caller.created(title=f"{caller.name} all")
    assert await acme.titles(country="us") == ["acme US"]
    assert await acme.titles(country="DEU") == ["acme DE"]
    assert await acme.titles(country="FR") == []
    assert await acme.titles(user_id=1) == ["acme 1"]
    assert await acme.titles(user_id=2) == []
    assert len(await globex.titles()) == 4


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=", "limit=1.0", "limit=+1", "limit=%D9%A1"),
        *("limit=" + "9" * 5000, "limit=1&limit=1", "cursor=", "cursor=x", "cursor=%FF%00"),
        "cursor=" + "A" * 29,
        *("view=", "view=Active", "view=active&view=past", "sort=end", "sort=", "sort=-start,id"),
        *("status=", "status=soon", "status=starting+soon", "status=null"),
        *("from=", "from=2025-06-15", "from=2025-06-15T14:00:00", "from=now"),
        *("to=2025-06-15T14:00:00", "to=0000-01-01T00:00:00Z"),
        "to=2025-06-15T14:00:00Z&from=2025-06-15T14:00:00Z",
        *("page=2", "Limit=1", "from_=2025-06-15T14:00:00Z", "self=1", "LIMIT=1", "limit%00=1"),
        *("=", "x", "%FF=1", "%zz=1", "parameters=1", "\xff=1", "view[]=all"),
    ],
)
async def test_a_bad_parameter_is_named(owner: Caller, query: str) -> None:
    await owner.created()
    answer = await owner.send("GET", f"{owner.events}?{query}")
    name = parse_qs(query, keep_blank_values=True)
    detail = problem(answer, 400)["detail"]
    assert any(detail.startswith(f"{one}: ") for one in name)
    assert "errors" not in answer.json()


@pytest.mark.parametrize("query", ["country=US", "user_id=1"])
async def test_a_users_list_has_no_such_parameter(ada: Caller, query: str) -> None:
    answer = await ada.send("GET", f"{ada.events}?{query}")
    assert problem(answer, 400)["detail"].startswith(query.partition("=")[0])


@pytest.mark.parametrize(
    "query", ["country=XX", "country=", "user_id=0", "user_id=abc", f"user_id={2**63}"]
)
async def test_a_companys_parameters_are_checked_too(acme: Caller, query: str) -> None:
    answer = await acme.send("GET", f"{acme.events}?{query}")
    assert problem(answer, 400)["detail"].startswith(query.partition("=")[0])


async def test_a_plus_that_became_a_space_is_explained(owner: Caller) -> None:
    answer = await owner.send("GET", f"{owner.events}?from=2025-06-15T14:00:00+02:00")
    assert "%2B" in problem(answer, 400)["detail"]


async def test_a_cursor_works_in_its_own_list_alone(
    acme: Caller, globex: Caller, ada: Caller, cleo: Caller, zoe: Caller
) -> None:
    await fill(acme, 3)
    for caller in (acme, ada):
        cursor = (await caller.list_events(limit=1)).json()["meta"]["next_cursor"]
        assert (await caller.list_events(cursor=cursor)).status_code == 200
        for stranger in {acme, globex, ada, cleo, zoe} - {caller}:
            answer = await stranger.list_events(cursor=cursor)
            assert problem(answer, 400)["detail"].startswith("cursor")
        for broken in (cursor[:-1], cursor + "A", cursor.swapcase(), cursor[::-1]):
            assert (await caller.list_events(cursor=broken)).status_code == 400
        assert (await caller.list_events(cursor=cursor, sort="-start")).status_code == 400


async def test_empty_parts_of_a_query_are_nothing(owner: Caller) -> None:
    for query in ("", "&", "&&limit=5&"):
        assert (await owner.send("GET", f"{owner.events}?{query}")).status_code == 200
