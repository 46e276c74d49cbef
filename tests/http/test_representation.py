"""The JSON object of an event: 18 keys in the page's order, and what the clock says of it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calevents.adapters.starlette.endpoints import encode
from calevents.representation import represent, represent_natively
from calevents.testing import FixedClock, an_event, an_image
from tests.http.callers import Caller, a_draft
from tests.page import PAGE_EXAMPLE as EXAMPLE

KEYS = list(EXAMPLE)

START = datetime(2025, 6, 15, 14, 0, tzinfo=UTC)
END = datetime(2025, 6, 15, 16, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)


# msgspec writes the instants; the core says how they are to look.
INSTANTS = st.datetimes(timezones=st.just(UTC))


@given(INSTANTS, INSTANTS, st.none() | INSTANTS, INSTANTS)
@example(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), START, START)
@example(START, END, START.replace(microsecond=100_000), START.replace(microsecond=1))
def test_what_is_sent_is_what_the_core_represents(
    start: datetime, end: datetime, sent_at: datetime | None, now: datetime
) -> None:
    event = an_event(
        start=start, end=end, notification_sent_at=sent_at, images=(an_image(),), countries=("US",)
    )
    assert json.loads(encode(represent_natively(event, now))) == represent(event, now)
    assert list(represent(event, now)) == KEYS
    json.dumps(represent(event, now))


@pytest.mark.parametrize("envelope", [False, True])
async def test_the_pages_example_can_be_posted_as_it_stands(
    acme: Caller, clock: FixedClock, envelope: bool
) -> None:
    clock.now = START - timedelta(minutes=30)
    response = await acme.post({"event": EXAMPLE} if envelope else EXAMPLE)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    event = response.json()
    assert list(event) == KEYS
    assert list(event["images"][0]) == ["id", "position", "mini", "detail", "full"]
    assigned = {
        "id": event["id"],
        "images": [{**EXAMPLE["images"][0], "id": event["images"][0]["id"]}],
    }
    assert event == EXAMPLE | assigned
    assert event["id"] > 0
    assert (await acme.get(event["id"])).content == response.content
    assert response.headers["location"] == f"{acme.events}/{event['id']}"


async def test_the_pages_example_is_the_callers_own_whatever_company_it_names(
    globex: Caller, acme: Caller
) -> None:
    response = await globex.post(EXAMPLE)
    assert (response.status_code, response.json()["company_id"]) == (201, 11111)
    assert (await acme.get(response.json()["id"])).status_code == 404


async def test_a_minimal_event_has_all_keys(owner: Caller) -> None:
    event = await owner.created()
    assert list(event) == KEYS
    expected: dict[str, object] = {
        "company_id": 67890,
        "user_id": None if owner.name == "acme" else 1,
        "title": "Training",
        **dict.fromkeys(["description", "url", "venue", "color", "image_url"]),
        "time_zone": "UTC",
        "canonical_time_zone": "UTC",
        "active": True,
        "status": None,
        "images": [],
        "countries": [],
        "notification_sent_at": None,
    }
    assert {key: event[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("now", "status", "active"),
    [
        (START - timedelta(hours=1) - TICK, None, True),
        (START - timedelta(hours=1), "STARTING SOON", True),
        (START - TICK, "STARTING SOON", True),
        (START, "IN PROGRESS", True),
        (END - TICK, "IN PROGRESS", True),
        (END, "CONCLUDED", False),
    ],
)
async def test_status_and_active_follow_the_clock_to_the_microsecond(
    owner: Caller, clock: FixedClock, now: datetime, status: str | None, active: bool
) -> None:
    event = await owner.created()
    clock.now = now
    one = (await owner.get(event["id"])).json()
    assert (one["status"], one["active"]) == (status, active)
    listed = (await owner.list_events(view="all")).json()["events"]
    assert listed == [one]
    assert await owner.titles(view="active") == (["Training"] if active else [])
    assert await owner.titles(view="past") == ([] if active else ["Training"])


async def test_what_was_read_can_be_sent_back(owner: Caller, clock: FixedClock) -> None:
    created = await owner.post(
        a_draft(
            time_zone="Europe/Berlin",
            images=[{"full": f"https://example.com/{name}.png"} for name in "ab"],
        )
    )
    event, tag = created.json(), created.headers["etag"]
    for now in (clock.now, START, END + TICK):
        clock.now = now
        read = (await owner.get(event["id"])).json()
        answer = await owner.patch(event["id"], read)
        assert answer.status_code == 200
        assert answer.json() == read
        assert answer.headers["etag"].startswith(tag.partition("-")[0])
    clock.now = START - timedelta(days=1)
    assert (await owner.get(event["id"])).json() == event  # the flag wasn't switched off either


async def test_images_keep_their_ids_and_are_ordered(owner: Caller) -> None:
    event = await owner.created(
        images=[
            {"full": "https://example.com/b.png", "position": 7},
            {"full": "https://example.com/a.png", "mini": "https://example.com/m.png"},
        ]
    )
    first, second = event["images"]
    assert event["image_url"] == first["full"] == "https://example.com/a.png"
    assert (first["mini"], first["detail"]) == ("https://example.com/m.png", first["full"])
    swapped = [{**second, "position": 1}, {**first, "position": 2}, {"full": second["full"]}]
    images = (await owner.patch(event["id"], {"images": swapped})).json()["images"]
    assert [image["id"] for image in images][:2] == [second["id"], first["id"]]
    assert len({image["id"] for image in images}) == 3


async def test_image_url_alone_is_one_image(owner: Caller) -> None:
    url = "https://example.com/a.png"
    event = await owner.created(image_url=url)
    (image,) = event["images"]
    assert (image["mini"], image["detail"], image["full"], event["image_url"]) == (url,) * 4


@pytest.mark.parametrize(
    ("field", "written", "answered"),
    [
        ("title", "  Müller & Söhne 😀 ", "Müller & Söhne 😀"),
        ("color", "#f53", "#FF5533"),
        ("color", "#ff5733", "#FF5733"),
        ("start", "2025-06-15T14:00:00.000000Z", "2025-06-15T14:00:00Z"),
        ("start", "2025-06-15T14:00:00.000001Z", "2025-06-15T14:00:00.000001Z"),
        ("start", "2025-06-15T10:00:00-04:00", "2025-06-15T14:00:00Z"),
        ("description", "two\nlines\t", "two\nlines\t"),
    ],
)
async def test_fields_are_answered_in_one_form(
    owner: Caller, field: str, written: str, answered: str
) -> None:
    assert (await owner.created(**{field: written}))[field] == answered


async def test_countries_and_zones_are_answered_in_one_form(acme: Caller) -> None:
    event = await acme.created(
        countries=["us", "fin", "UK", "USA"],
        time_zone="Eastern Time (US & Canada)",
        start="2025-06-15T10:00",
    )
    assert event["countries"] == ["US", "FI", "GB"]
    assert event["time_zone"] == "Eastern Time (US & Canada)"
    assert event["canonical_time_zone"] == "America/New_York"
    assert event["start"] == "2025-06-15T14:00:00Z"
