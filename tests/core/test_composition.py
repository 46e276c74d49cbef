"""What a client writes: every rule of the contract's table, every fault at once."""

import itertools
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calevents.audience import Company, Member, Viewer
from calevents.composition import compose
from calevents.event import Event
from calevents.exceptions import InvalidEvent
from calevents.representation import represent
from tests.page import PAGE_EXAMPLE

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
COMPANY = Company(67890)
MEMBER = Member(company_id=67890, id=1, country="US")

MINIMAL = {"title": "Launch", "start": "2025-06-15T14:00:00Z", "end": "2025-06-15T16:00:00Z"}


def write(
    document: Any,
    base: Event | None = None,
    viewer: Viewer = COMPANY,
    now: datetime = NOW,
    **options: Any,
) -> Event:
    first = 1000 if base is None else 2000
    return compose(
        document,
        viewer=viewer,
        now=now,
        new_id=itertools.count(first).__next__,
        base=base,
        **options,
    )


def faults(document: Any, base: Event | None = None, viewer: Viewer = COMPANY) -> dict[str, str]:
    with pytest.raises(InvalidEvent) as caught:
        write(document, base, viewer)
    assert all(fault.detail for fault in caught.value.faults)
    return {fault.pointer: fault.code for fault in caught.value.faults}


def test_the_page_s_example_can_be_written_as_it_stands() -> None:
    event = write(PAGE_EXAMPLE)
    answer = represent(event, NOW)
    assert list(answer) == list(PAGE_EXAMPLE)
    assert answer == PAGE_EXAMPLE | {
        "id": event.id,
        "status": None,
        "images": [PAGE_EXAMPLE["images"][0] | {"id": event.images[0].id}],
    }
    assert event.id != 12345


def test_what_is_left_out_has_its_default() -> None:
    event = write(MINIMAL)
    assert represent(event, NOW) == MINIMAL | {
        "id": event.id,
        "company_id": 67890,
        "user_id": None,
        "description": None,
        "url": None,
        "venue": None,
        "color": None,
        "time_zone": "UTC",
        "canonical_time_zone": "UTC",
        "active": True,
        "status": None,
        "image_url": None,
        "images": [],
        "countries": [],
        "notification_sent_at": None,
    }
    assert event.version == 1
    assert event.created_at == event.updated_at == NOW
    assert not event.personal


def test_every_fault_is_told_at_once() -> None:
    document = {
        "title": " ",
        "description": 1,
        "url": "ftp://example.com/",
        "venue": "x" * 256,
        "color": "red",
        "start": "tomorrow",
        "time_zone": "Mars/Olympus",
        "active": "yes",
        "images": [{"mini": "/relative", "extra": 1}, 5],
        "countries": ["US", "XX", 7],
        "user_id": 0,
        "status/~": "x",
    }
    assert faults(document) == {
        "/status~1~0": "unknown",
        "/time_zone": "time_zone",
        "/start": "timestamp",
        "/end": "required",
        "/countries/1": "country",
        "/countries/2": "type",
        "/user_id": "target",
        "/title": "length",
        "/description": "type",
        "/url": "url",
        "/venue": "length",
        "/color": "color",
        "/active": "type",
        "/images/0/extra": "unknown",
        "/images/0/full": "required",
        "/images/0/mini": "url",
        "/images/1": "type",
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"title": "x" * 255 + "\0"}, ["length", "characters"]),
        ({"title": "\0"}, ["characters"]),
        ({"title": " \n "}, ["length"]),
        ({"title": "x" * 255 + "\ud800"}, ["characters", "length"]),
        ({"title": "\ud800\0"}, ["characters", "characters"]),
        ({"description": "x" * 10_000 + "\0"}, ["length", "characters"]),
        ({"description": "x" * 9_999 + "\0"}, ["characters"]),
        ({"description": "x" * 10_000 + "\n"}, ["length"]),
        ({"venue": "x" * 255 + "\n"}, ["length", "characters"]),
        ({"url": "ftp://example.com/" + "x" * 2048}, ["length", "url"]),
        ({"url": "https://example.com/" + "x" * 2048}, ["length"]),
        ({"url": "https://example.com/\ud800"}, ["characters"]),
        ({"image_url": "x" * 2049}, ["length", "url"]),
        ({"images": [{"full": "x" * 2049}]}, ["length", "url"]),
    ],
)
def test_one_field_may_have_more_than_one_fault(
    fields: dict[str, Any], expected: list[str]
) -> None:
    for base in (None, write(MINIMAL)):
        with pytest.raises(InvalidEvent) as caught:
            write(fields if base else MINIMAL | fields, base)
        assert [fault.code for fault in caught.value.faults] == expected
        assert len({fault.detail for fault in caught.value.faults}) == len(expected)
        assert len({fault.pointer for fault in caught.value.faults}) == 1


@pytest.mark.parametrize("document", [None, 5, "text", ["title"], True])
def test_only_an_object_is_a_document(document: Any) -> None:
    assert faults(document) == {"": "type"}


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("title", None, "required"),
        ("title", "", "length"),
        ("title", "  \t ", "length"),
        ("title", "x" * 256, "length"),
        ("title", "a\nb", "characters"),
        ("title", "a\x00b", "characters"),
        ("title", "a\x85b", "characters"),
        ("title", "a\ud800b", "characters"),
        ("title", 5, "type"),
        ("title", ["x"], "type"),
        ("description", "x" * 10_001, "length"),
        ("description", "a\x00b", "characters"),
        ("description", "a\rb", "characters"),
        ("description", "a\udfffb", "characters"),
        ("description", {}, "type"),
        ("url", "", "url"),
        ("url", "example.com", "url"),
        ("url", "//example.com/", "url"),
        ("url", "javascript:alert(1)", "url"),
        ("url", "https://", "url"),
        ("url", "https:///path", "url"),
        ("url", "https://example.com/a b", "url"),
        ("url", "https://example.com/\n", "url"),
        ("url", "https://example.com:99999/", "url"),
        ("url", "https://[::1/", "url"),
        ("url", 'https://example.com/"', "url"),
        ("url", "https://example.com/" + "x" * 2048, "length"),
        ("url", 5, "type"),
        ("venue", "x" * 256, "length"),
        ("venue", "a\nb", "characters"),
        ("venue", 5, "type"),
        ("color", "", "color"),
        ("color", "FF5733", "color"),
        ("color", "#FF57", "color"),
        ("color", "#GG5733", "color"),
        ("color", "#FF5733\n", "color"),
        ("color", "#١٢٣", "color"),
        ("color", 5, "type"),
        ("start", None, "required"),
        ("start", 5, "type"),
        ("start", True, "type"),
        ("start", "2025-06-15T14.5Z", "timestamp"),
        ("start", "2025-06-15T14:00:00", "offset"),
        ("start", "2025-06-15", "timestamp"),
        ("start", "0001-01-01T00:00:00+01:00", "timestamp"),
        ("end", None, "required"),
        ("end", "2025-06-15T14:00:00Z", "order"),
        ("end", "2025-06-15T13:59:59.999999Z", "order"),
        ("time_zone", "+05:30", "time_zone"),
        ("time_zone", "", "time_zone"),
        ("time_zone", 5, "type"),
        ("active", 1, "type"),
        ("active", "true", "type"),
        ("images", {}, "type"),
        ("images", "https://example.com/x.jpg", "type"),
        ("images", [{"full": "https://example.com/x.jpg"}] * 21, "length"),
        ("image_url", "x", "url"),
        ("countries", "US", "type"),
        ("countries", {"US": 1}, "type"),
        ("user_id", -1, "range"),
        ("user_id", 2**63, "range"),
        ("user_id", True, "type"),
        ("user_id", 1.0, "type"),
        ("user_id", "1", "type"),
        ("owner", 1, "unknown"),
    ],
)
def test_a_bad_value_is_named_with_its_field(key: str, value: Any, code: str) -> None:
    assert faults(MINIMAL | {key: value}) == {f"/{key}": code}
    # Written over an event, the same is wrong; only a time without an offset has a zone by then.
    if code != "offset":
        assert faults({key: value}, base=write(MINIMAL)) == {f"/{key}": code}


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("title", "  Launch\t", "Launch"),
        ("title", "x" * 255, "x" * 255),
        ("title", "🎉", "🎉"),
        ("description", "a\n\tb", "a\n\tb"),
        ("description", "a\r\nb", "a\nb"),
        ("description", "x" * 10_000, "x" * 10_000),
        ("description", "", ""),
        ("url", "http://example.com", "http://example.com"),
        ("url", "HTTPS://EXAMPLE.com/é?x=1#y", "HTTPS://EXAMPLE.com/é?x=1#y"),
        ("url", "https://[::1]:8080/", "https://[::1]:8080/"),
        ("color", "#f53", "#FF5533"),
        ("color", "#ff5733", "#FF5733"),
        ("start", "2025-06-15t10:00-04:00", "2025-06-15T14:00:00Z"),
        ("start", "2025-06-15 14:00:00.5Z", "2025-06-15T14:00:00.500000Z"),
        ("time_zone", "eastern time (us & canada)", "eastern time (us & canada)"),
        ("active", False, False),
        ("countries", ["us", "fin", "UK", "US"], ["US", "FI", "GB"]),
        ("user_id", 2**63 - 1, 2**63 - 1),
    ],
)
def test_a_good_value_is_answered_in_its_normal_form(key: str, value: Any, answer: Any) -> None:
    assert represent(write(MINIMAL | {key: value}), NOW)[key] == answer


def test_an_event_is_for_one_user_or_for_countries() -> None:
    assert faults(MINIMAL | {"user_id": 5, "countries": ["US"]}) == {"/user_id": "target"}
    base = write(MINIMAL | {"countries": ["US"]})
    assert faults({"user_id": 5}, base) == {"/user_id": "target"}
    assert write({"user_id": 5, "countries": []}, base).user_id == 5
    assert write({"user_id": 5, "countries": None}, base).countries == ()


class TestUserScope:
    def test_a_user_s_event_is_their_own(self) -> None:
        event = write(MINIMAL, viewer=MEMBER)
        assert event.personal
        assert event.user_id == MEMBER.id
        assert event.company_id == MEMBER.company_id

    @pytest.mark.parametrize("user_id", [None, 1])
    def test_their_own_id_may_be_said(self, user_id: int | None) -> None:
        assert write(MINIMAL | {"user_id": user_id}, viewer=MEMBER).user_id == 1

    def test_others_may_not_be_targeted(self) -> None:
        document = MINIMAL | {"user_id": 2, "countries": ["US"]}
        assert faults(document, viewer=MEMBER) == {"/countries": "target", "/user_id": "target"}
        base = write(MINIMAL, viewer=MEMBER)
        assert faults({"user_id": 2}, base, MEMBER) == {"/user_id": "target"}
        assert faults({"countries": ["DE"]}, base, MEMBER) == {"/countries": "target"}

    def test_what_was_read_can_be_sent_back(self) -> None:
        event = write(MINIMAL, viewer=MEMBER)
        assert write(represent(event, NOW), event, MEMBER) is event


class TestPatch:
    base = write(PAGE_EXAMPLE)

    def test_an_empty_patch_changes_nothing(self) -> None:
        assert write({}, self.base) is self.base

    @pytest.mark.parametrize(
        "now",
        [
            NOW,
            datetime(2025, 6, 15, 13, 30, tzinfo=UTC),
            datetime(2025, 6, 15, 15, 0, tzinfo=UTC),
            datetime(2025, 6, 15, 16, 0, tzinfo=UTC),
        ],
    )
    def test_what_was_read_can_be_sent_back(self, now: datetime) -> None:
        assert write(represent(self.base, now), self.base, now=now) is self.base

    def test_an_absent_key_keeps_and_null_clears(self) -> None:
        event = write({"venue": None, "title": "New"}, self.base)
        assert event.venue is None
        assert event.title == "New"
        unchanged = attrs.evolve(
            event, venue=self.base.venue, title=self.base.title, version=1, updated_at=NOW
        )
        assert unchanged == self.base
        assert event.version == self.base.version + 1

    @pytest.mark.parametrize(
        ("key", "default"),
        [
            ("description", None),
            ("url", None),
            ("color", None),
            ("images", ()),
            ("countries", ()),
            ("active", True),
            ("time_zone", "UTC"),
        ],
    )
    def test_null_goes_back_to_the_default(self, key: str, default: object) -> None:
        base = attrs.evolve(self.base, active=False)
        assert getattr(write({key: None}, base), key) == default

    def test_the_merged_event_is_validated(self) -> None:
        assert faults({"start": "2025-06-15T16:00:00Z"}, self.base) == {"/end": "order"}
        both = {"start": "2025-06-15T16:00:00Z", "end": "2025-06-15T17:00:00Z"}
        assert write(both, self.base).start.hour == 16

    def test_arrays_are_replaced_whole(self) -> None:
        assert write({"countries": ["DE"]}, self.base).countries == ("DE",)
        assert write({"images": []}, self.base).images == ()

    def test_a_moved_start_is_not_notified(self) -> None:
        base = attrs.evolve(self.base, notification_sent_at=NOW)
        moved = write({"start": "2025-06-15T14:00:00.000001Z"}, base)
        assert moved.notification_sent_at is None
        assert write({"title": "New"}, base).notification_sent_at == NOW
        assert write({"end": "2025-06-15T17:00:00Z"}, base).notification_sent_at == NOW

    def test_server_set_keys_are_ignored(self) -> None:
        echo = {
            "id": 1,
            "company_id": 2,
            "canonical_time_zone": "x",
            "status": 3,
            "notification_sent_at": [],
        }
        assert write(echo, self.base) is self.base

    def test_the_zone_alone_keeps_the_instants(self) -> None:
        event = write({"time_zone": "Europe/Berlin"}, self.base)
        assert (event.start, event.end) == (self.base.start, self.base.end)
        assert event.canonical_time_zone == "Europe/Berlin"


class TestActive:
    """``active`` is answered as the flag and the clock together, but written as the flag."""

    def test_an_ended_event_sent_back_keeps_its_flag(self) -> None:
        base = write(PAGE_EXAMPLE)
        after = base.end
        answer = represent(base, after)
        assert answer["active"] is False
        moved = {**answer, "start": "2025-07-15T14:00:00Z", "end": "2025-07-15T16:00:00Z"}
        assert write(moved, base, now=after).active
        off = attrs.evolve(base, active=False)
        assert not write(represent(off, after) | {"title": "New"}, off, now=after).active

    @pytest.mark.parametrize("viewer", [COMPANY, MEMBER])
    def test_a_new_event_has_no_flag_to_keep(self, viewer: Viewer) -> None:
        base = write(MINIMAL, viewer=viewer)
        later = {"start": "2025-07-15T14:00:00Z", "end": "2025-07-15T16:00:00Z"}
        for stored in (base, attrs.evolve(base, active=False)):
            answer = represent(stored, stored.end)
            assert (answer["active"], answer["status"]) == (False, "CONCLUDED")
            assert not write(answer | later, viewer=viewer).active
            assert not write(answer, viewer=viewer).active
            assert write(answer | later | {"active": True}, viewer=viewer).active
            # It's the write over a stored event that keeps the flag.
            assert write(answer | later, stored, viewer).active is stored.active
        answer = represent(base, base.end)
        del answer["active"]
        assert write(answer | later, viewer=viewer).active

    def test_without_its_status_false_switches_off(self) -> None:
        base = write(PAGE_EXAMPLE)
        assert not write({"active": False}, base, now=base.end).active
        assert not write(represent(base, NOW) | {"active": False}, base).active


class TestImages:
    FULL = "https://example.com/full.jpg"

    def test_a_missing_size_falls_back_to_full(self) -> None:
        (image,) = write(MINIMAL | {"images": [{"full": self.FULL, "mini": None}]}).images
        assert image.mini == image.detail == image.full == self.FULL

    def test_they_are_ordered_by_position(self) -> None:
        images = [
            {"full": "https://example.com/2", "position": 2},
            {"full": "https://example.com/0", "position": 0},
            {"full": "https://example.com/3"},
        ]
        event = write(MINIMAL | {"images": images})
        assert [image.full[-1] for image in event.images] == ["0", "2", "3"]
        assert represent(event, NOW)["image_url"] == "https://example.com/0"

    def test_ids_are_kept_when_sent_back_and_given_otherwise(self) -> None:
        base = write(MINIMAL | {"images": [{"full": self.FULL}, {"full": self.FULL + "?2"}]})
        first, second = base.images
        images = [
            {"id": second.id, "full": self.FULL + "?new"},
            {"id": 999, "full": self.FULL},
            {"id": second.id, "full": self.FULL},
            {"full": self.FULL},
        ]
        ids = [image.id for image in write({"images": images}, base).images]
        assert ids[0] == second.id
        assert len(set(ids)) == 4
        assert not set(ids[1:]) & {first.id, second.id, 999}

    def test_image_url_alone_is_one_image(self) -> None:
        (image,) = write(MINIMAL | {"image_url": self.FULL}).images
        assert (image.position, image.mini, image.full) == (1, self.FULL, self.FULL)

    def test_image_url_beside_images_is_ignored(self) -> None:
        document = MINIMAL | {"image_url": "nonsense", "images": [{"full": self.FULL}]}
        assert write(document).images[0].full == self.FULL

    def test_image_url_sent_back_keeps_the_images(self) -> None:
        base = write(MINIMAL | {"images": [{"full": self.FULL}, {"full": self.FULL + "?2"}]})
        assert write({"image_url": self.FULL}, base) is base
        assert len(write({"image_url": self.FULL + "?3"}, base).images) == 1
        assert write({"image_url": None}, base).images == ()

    def test_twenty_are_allowed(self) -> None:
        images = [{"full": f"{self.FULL}?{i}"} for i in range(20)]
        assert len(write(MINIMAL | {"images": images}).images) == 20

    @pytest.mark.parametrize(
        ("image", "pointer", "code"),
        [
            ({"full": None}, "/images/0/full", "required"),
            ({"full": "x"}, "/images/0/full", "url"),
            ({"full": FULL, "position": -1}, "/images/0/position", "range"),
            ({"full": FULL, "position": True}, "/images/0/position", "type"),
            ({"full": FULL, "id": "1"}, "/images/0/id", "type"),
            ({"full": FULL, "id": 2**63}, "/images/0/id", "range"),
            ({"full": FULL, "a/b": 1}, "/images/0/a~1b", "unknown"),
        ],
    )
    def test_faults_point_into_the_array(self, image: Any, pointer: str, code: str) -> None:
        assert faults(MINIMAL | {"images": [image]}) == {pointer: code}
        others = [{"full": self.FULL}] * 20
        assert faults(MINIMAL | {"images": [image, *others]}) == {
            "/images": "length",
            pointer: code,
        }

    def test_too_many_images_hide_no_fault_of_the_first_twenty(self) -> None:
        images: list[Any] = [{"full": self.FULL} for _ in range(19)]
        faulty = [{"full": "x"}, {"full": "beyond"}, 5]
        assert faults(MINIMAL | {"images": [*images, *faulty]}) == {
            "/images": "length",
            "/images/19/full": "url",
        }
        assert faults(MINIMAL | {"images": [5] * 10_000}) == {
            "/images": "length",
            **{f"/images/{index}": "type" for index in range(20)},
        }


class TestTimes:
    def test_a_wall_time_is_resolved_in_its_zone_and_kept(self) -> None:
        document = MINIMAL | {
            "start": "2025-06-15T14:00",
            "end": "2025-06-15T15:00:00-04:00",
            "time_zone": "US/Eastern",
        }
        event = write(document)
        assert event.start == datetime(2025, 6, 15, 18, 0, tzinfo=UTC)
        assert event.start_wall == datetime(2025, 6, 15, 14, 0)  # noqa: DTZ001 - a wall time
        assert event.end_wall is None
        assert (event.time_zone, event.canonical_time_zone) == ("US/Eastern", "America/New_York")

    def test_in_a_gap_the_offset_before_it_counts(self) -> None:
        document = MINIMAL | {"start": "2025-03-09T02:30", "time_zone": "America/New_York"}
        assert write(document).start == datetime(2025, 3, 9, 7, 30, tzinfo=UTC)
        with pytest.raises(InvalidEvent, match="/start"):
            write(document, disambiguation="raise")

    def test_in_an_overlap_the_first_occurrence_counts(self) -> None:
        document = MINIMAL | {"start": "2024-11-03T01:30", "time_zone": "America/New_York"}
        assert write(document).start == datetime(2024, 11, 3, 5, 30, tzinfo=UTC)
        with pytest.raises(InvalidEvent, match="/start"):
            write(document, disambiguation="raise")

    def test_a_wall_time_survives_until_the_time_or_the_zone_changes(self) -> None:
        base = write(MINIMAL | {"start": "2025-06-15T10:00", "time_zone": "America/New_York"})
        wall = base.start_wall
        assert wall is not None
        assert write({"title": "New"}, base).start_wall == wall
        assert write(represent(base, NOW) | {"title": "New"}, base).start_wall == wall
        assert write({"time_zone": "US/Eastern"}, base).start_wall == wall
        assert write({"time_zone": "UTC"}, base).start_wall is None
        assert write({"start": "2025-06-15T13:00Z"}, base).start_wall is None

    def test_a_patch_resolves_wall_times_in_the_stored_zone(self) -> None:
        base = write(PAGE_EXAMPLE)
        moved = write({"start": "2025-06-15T09:00"}, base)
        assert moved.start == datetime(2025, 6, 15, 13, 0, tzinfo=UTC)

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
    @pytest.mark.parametrize("key", ["start", "end"])
    @pytest.mark.parametrize(
        "wall",
        ["2025-06-15T15:00", datetime(2025, 6, 15, 15, 0)],  # noqa: DTZ001 - a wall time
    )
    def test_a_wall_time_needs_a_zone_that_is_named(self, zone: str, key: str, wall: Any) -> None:
        base = write(MINIMAL | {"time_zone": zone})
        pointer = {f"/{key}": "offset"}
        assert faults(MINIMAL | {key: wall}) == pointer
        assert faults(MINIMAL | {key: wall, "time_zone": None}) == pointer
        assert faults({key: wall, "time_zone": None}, base) == pointer
        both = {"start": wall, "end": wall, "time_zone": None}
        assert faults(both, base) == {"/start": "offset", "/end": "offset"}
        # A zone that the event has is named, and so is one beside the time.
        assert write({"end": "2025-06-16T15:00"}, base).end_wall == datetime(2025, 6, 16, 15)  # noqa: DTZ001
        assert write({"end": "2025-06-15T23:00", "time_zone": "UTC"}, base).end.hour == 23

    def test_a_cleared_zone_keeps_instants(self) -> None:
        base = write(MINIMAL | {"start": "2025-06-15T10:00", "time_zone": "America/New_York"})
        cleared = write({"time_zone": None}, base)
        assert (cleared.time_zone, cleared.canonical_time_zone) == ("UTC", "UTC")
        assert (cleared.start, cleared.start_wall) == (base.start, None)
        moved = write({"time_zone": None, "start": "2025-06-15T15:00Z"}, base)
        assert (moved.start.hour, moved.time_zone) == (15, "UTC")

    def test_datetimes_are_taken_from_python(self) -> None:
        start = datetime(2025, 6, 15, 10, 0, tzinfo=ZoneInfo("America/New_York"))
        end = datetime(2025, 6, 15, 21, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        event = write(MINIMAL | {"start": start, "end": end})
        assert event.start == datetime(2025, 6, 15, 14, 0, tzinfo=UTC)
        assert event.end == datetime(2025, 6, 15, 15, 30, tzinfo=UTC)
        assert event.start.tzinfo is UTC

    @pytest.mark.parametrize(
        "start",
        [
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=1))),
        ],
    )
    def test_instants_outside_the_years_are_a_fault(self, start: datetime) -> None:
        assert faults(MINIMAL | {"start": start})["/start"] == "timestamp"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)
some_text = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255
).filter(lambda text: text.strip())


@given(st.dictionaries(st.sampled_from([*PAGE_EXAMPLE, "other"]), json_values))
def test_any_document_is_an_event_or_a_list_of_faults(document: dict[str, Any]) -> None:
    for base in (None, write(PAGE_EXAMPLE)):
        for viewer in (COMPANY, MEMBER):
            with suppress(InvalidEvent):
                event = write(document, base, viewer)
                assert event.end > event.start


fields = {
    "title": some_text,
    "description": st.none() | some_text,
    "venue": st.none() | some_text,
    "color": st.none() | st.from_regex(r"#[0-9A-F]{6}", fullmatch=True),
    "time_zone": st.sampled_from(["UTC", "Europe/Berlin", "US/Eastern"]),
    "active": st.booleans(),
    "countries": st.lists(st.sampled_from(["US", "DE", "FR"]), unique=True),
    "url": st.none() | st.just("https://example.com/"),
    "start": st.sampled_from(["2025-06-15T14:00:00Z", "2025-06-14T00:00:00Z"]),
    "end": st.sampled_from(["2025-06-15T16:00:00Z", "2025-06-17T00:00:00Z"]),
}
patches = st.fixed_dictionaries({}, optional=fields)


@given(patches, patches)
def test_patches_are_merged_as_rfc_7396_merges_documents(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    one_by_one = write(second, write(first, write(MINIMAL)))
    at_once = write({**MINIMAL, **first, **second})
    assert represent(one_by_one, NOW) | {"id": 0} == represent(at_once, NOW) | {"id": 0}


@given(patches)
def test_a_patch_applied_again_changes_nothing(patch: dict[str, Any]) -> None:
    once = write(patch, write(MINIMAL))
    assert write(patch, once) is once
