"""ETag, If-None-Match and If-Match."""

from datetime import datetime, timedelta

import attrs
import pytest

from calevents import Calendar, Company, Event
from calevents.adapters.starlette.conditional import entity_tag, is_cached, versions_to_match
from calevents.testing import FixedClock, an_event
from tests.http.callers import Caller


async def test_get_post_and_patch_answer_the_same_tag(owner: Caller) -> None:
    created = await owner.post(
        {"title": "T", "start": "2025-06-16T10:00Z", "end": "2025-06-16T11:00Z"}
    )
    event_id = created.json()["id"]
    tag = created.headers["etag"]
    assert tag.startswith('"')
    assert (await owner.get(event_id)).headers["etag"] == tag
    assert (await owner.patch(event_id, {})).headers["etag"] == tag
    patched = await owner.patch(event_id, {"venue": "Hall"})
    assert patched.headers["etag"] != tag
    assert (await owner.get(event_id)).headers["etag"] == patched.headers["etag"]


@pytest.mark.parametrize(
    "header",
    ["{tag}", "W/{tag}", '"other", {tag}', 'W/"a,b" ,W/{tag},', "*", " * "],
)
async def test_what_the_client_has_is_not_sent_again(owner: Caller, header: str) -> None:
    event = await owner.created()
    tag = (await owner.get(event["id"])).headers["etag"]
    for method in ("GET", "HEAD"):
        path = f"{owner.events}/{event['id']}"
        answer = await owner.send(method, path, headers={"If-None-Match": header.format(tag=tag)})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Authorization"
        assert answer.headers["x-request-id"]
        assert "content-type" not in answer.headers


@pytest.mark.parametrize("header", ['"other"', "", "v1-w1", '"v1-w1', 'w/"x"', '""'])
async def test_what_the_client_hasnt_is_sent(owner: Caller, header: str) -> None:
    event = await owner.created()
    answer = await owner.get(event["id"], headers={"If-None-Match": header})
    assert (answer.status_code, answer.json()) == (200, event)


async def test_a_304_is_never_stale(owner: Caller, clock: FixedClock) -> None:
    event = await owner.created()
    start, end = (datetime.fromisoformat(event[key]) for key in ("start", "end"))
    tags: dict[str, bytes] = {}
    for boundary in (start - timedelta(hours=1), start, end):
        for now in (boundary - timedelta(microseconds=1), boundary):
            clock.now = now
            for tag, content in tags.items():
                answer = await owner.get(event["id"], headers={"If-None-Match": tag})
                if answer.status_code == 304:
                    assert content == (await owner.get(event["id"])).content
            answer = await owner.get(event["id"])
            tag = answer.headers["etag"]
            assert tags.setdefault(tag, answer.content) == answer.content
    assert len(tags) == 4


async def test_an_unseen_event_is_404_whatever_the_client_has(zoe: Caller, acme: Caller) -> None:
    event = await acme.created()
    answer = await zoe.get(event["id"], headers={"If-None-Match": "*"})
    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_write_on_the_version_that_was_read(
    owner: Caller, clock: FixedClock, method: str
) -> None:
    for lines in ("{tag}", '"other", {tag}', 'W/"v1-w1",{tag}', "*"):
        event = await owner.created()
        tag = (await owner.get(event["id"])).headers["etag"]
        clock.advance(timedelta(hours=1, minutes=30))  # another status, the same version
        answer = await owner.send(
            method,
            f"{owner.events}/{event['id']}",
            headers={"If-Match": lines.format(tag=tag)},
            json={},
        )
        assert answer.status_code in {200, 204}
        clock.advance(-timedelta(hours=1, minutes=30))


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    "header",
    [
        *('W/"v2-{rest}"', "v2-{rest}", '"v1-{rest}"', '"v3-{rest}"', '"v02-{rest}"'),
        *('"v2"', '"2"', '"v2-"', '"other", W/"*"', '"*"', ""),
    ],
)
async def test_a_write_on_another_version_is_refused(
    owner: Caller, method: str, header: str
) -> None:
    event = await owner.created()
    second = await owner.patch(event["id"], {"venue": "Hall"})
    rest = second.headers["etag"].removeprefix('"v2-').removesuffix('"')
    answer = await owner.send(
        method,
        f"{owner.events}/{event['id']}",
        headers={"If-Match": header.format(rest=rest)},
        json={"title": "Lost update"},
    )
    assert answer.status_code == 412
    assert (await owner.get(event["id"])).json() == second.json()


async def test_a_stale_write_is_refused_after_another(owner: Caller) -> None:
    event = await owner.created()
    tag = (await owner.get(event["id"])).headers["etag"]
    first = await owner.patch(event["id"], {"venue": "A"}, headers={"If-Match": tag})
    second = await owner.patch(event["id"], {"venue": "B"}, headers={"If-Match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await owner.delete(event["id"], headers={"If-Match": tag})).status_code == 412
    fresh = {"If-Match": first.headers["etag"]}
    assert (await owner.delete(event["id"], headers=fresh)).status_code == 204
    assert (await owner.delete(event["id"], headers=fresh)).status_code == 404


def test_the_stamp_of_the_push_changes_the_caches_part_alone(clock: FixedClock) -> None:
    event = an_event()
    stamped = attrs.evolve(event, notification_sent_at=clock.now)
    again = attrs.evolve(event, notification_sent_at=clock.now + timedelta(microseconds=1))
    tags = [entity_tag(one, clock.now) for one in (event, stamped, again)]
    assert len(set(tags)) == 3
    for tag in tags:
        assert versions_to_match([tag]) == frozenset({1})
        assert is_cached([tag], tag)


def test_several_lines_are_one_list() -> None:
    assert versions_to_match([]) is None
    assert versions_to_match(['"v1-w1"', '"v20-c0.5", "v3-p1"']) == frozenset({1, 20, 3})
    assert versions_to_match(["*", '"v1-w1"']) == frozenset({1})
    assert is_cached(['"a"', '"b"'], '"b"')
    assert not is_cached([], '"b"')


async def test_the_flag_is_part_of_what_caches_follow(calendar: Calendar) -> None:
    event: Event = await calendar.company(67890).create(
        {"title": "T", "start": "2025-06-16T10:00Z", "end": "2025-06-16T11:00Z"}
    )
    assert isinstance(calendar.company(67890).viewer, Company)
    off = attrs.evolve(event, active=False)
    assert entity_tag(event, event.start) != entity_tag(off, event.start)
