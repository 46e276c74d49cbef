"""Who sees and may change what, over HTTP, in two companies."""

from collections.abc import Mapping

import httpx2
import pytest

from tests.http.callers import PRINCIPALS, Caller, a_draft


@pytest.fixture
def callers(client: httpx2.AsyncClient) -> Mapping[str, Caller]:
    return {name: Caller(client, name) for name in PRINCIPALS}


@pytest.mark.parametrize(
    ("creator", "fields", "seers"),
    [
        ("acme", {}, "acme ada ben cleo dan"),
        ("acme", {"countries": ["US", "CA"]}, "acme ada cleo"),
        ("acme", {"countries": ["DE"]}, "acme ben"),
        ("acme", {"user_id": 1}, "acme ada"),
        ("acme", {"user_id": 4}, "acme dan"),
        ("acme", {"active": False}, "acme"),
        ("acme", {"active": False, "user_id": 1}, "acme"),
        ("globex", {}, "globex zoe"),
        ("globex", {"countries": ["US"]}, "globex zoe"),
        ("globex", {"user_id": 1}, "globex zoe"),
        ("ada", {}, "ada"),
        ("ada", {"user_id": 1, "countries": []}, "ada"),
        ("ada", {"active": False}, "ada"),
        ("zoe", {}, "zoe"),
    ],
)
async def test_get_and_list_show_an_event_to_the_same_callers(
    callers: Mapping[str, Caller], creator: str, fields: dict[str, object], seers: str
) -> None:
    event = await callers[creator].created(**fields)
    for name, caller in callers.items():
        sees = name in seers.split()
        answer = await caller.get(event["id"])
        assert answer.status_code == (200 if sees else 404), name
        listed = (await caller.list_events(view="all")).json()["events"]
        assert [one["id"] for one in listed] == ([event["id"]] if sees else []), name
        if sees:
            assert listed == [answer.json()]


@pytest.mark.parametrize(
    ("creator", "fields", "changers", "refused"),
    [
        ("acme", {}, "acme", "ada ben cleo dan"),
        ("acme", {"countries": ["DE"]}, "acme", "ben"),
        ("acme", {"user_id": 1}, "acme", "ada"),
        ("acme", {"active": False}, "acme", ""),
        ("globex", {"user_id": 1}, "globex", "zoe"),
        ("ada", {}, "ada", ""),
        ("zoe", {}, "zoe", ""),
    ],
)
async def test_only_its_creator_changes_and_deletes_an_event(
    callers: Mapping[str, Caller],
    creator: str,
    fields: dict[str, object],
    changers: str,
    refused: str,
) -> None:
    event = await callers[creator].created(**fields)
    for name, caller in callers.items():
        if name in changers.split():
            continue
        expected = 403 if name in refused.split() else 404
        for answer in (
            await caller.patch(event["id"], {"title": "Taken over"}),
            await caller.patch(event["id"], {}),
            await caller.patch(event["id"], {"no such field": 1}),
            await caller.delete(event["id"]),
        ):
            assert answer.status_code == expected, name
    assert (await callers[creator].get(event["id"])).json() == event
    for name in changers.split():
        answer = await callers[name].patch(event["id"], {"title": "Changed"})
        assert (answer.status_code, answer.json()["title"]) == (200, "Changed")
        assert (await callers[name].delete(event["id"])).status_code == 204
        assert (await callers[name].delete(event["id"])).status_code == 404
        assert (await callers[name].get(event["id"])).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
async def test_an_unseen_id_is_answered_like_one_that_never_was(
    acme: Caller, zoe: Caller, ben: Caller, ada: Caller, method: str
) -> None:
    deleted = (await ada.created())["id"]
    assert (await ada.delete(deleted)).status_code == 204
    unseen = [
        (await zoe.created())["id"],
        (await ben.created())["id"],
        (await acme.created(countries=["DE"]))["id"],
        (await acme.created(active=False))["id"],
        deleted,
        *(
            1,
            0,
            -1,
            "1.0",
            "+1",
            "007",
            "abc",
            "1e3",
            "\u0661",
            "\u00b2",
            "%00",
            "%FF",
            "1%20",
            "None",
        ),
        *(2**53, 2**63 - 1, 2**63, 2**64, 10**400),
    ]
    bodies, heads = set(), set()
    for event_id in unseen:
        answer = await ada.send(
            method, f"{ada.events}/{event_id}", json={}, headers={"X-Request-Id": "same"}
        )
        assert answer.status_code == 404, event_id
        bodies.add(answer.content)
        heads.add(tuple(answer.headers.multi_items()))
    assert len(bodies) == len(heads) == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"countries": ["US"]}, "/countries"),
        ({"user_id": 3}, "/user_id"),
        ({"user_id": 3, "countries": ["US"]}, "/countries"),
    ],
)
async def test_a_user_targets_nobody_else(
    ada: Caller, fields: dict[str, object], pointer: str
) -> None:
    event = await ada.created()
    for answer in (await ada.post(a_draft(**fields)), await ada.patch(event["id"], fields)):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer


async def test_an_event_is_for_one_user_or_for_countries(acme: Caller) -> None:
    event = await acme.created(countries=["US"])
    both = {"user_id": 1, "countries": ["US"]}
    for answer in (
        await acme.post(a_draft(**both)),
        await acme.patch(event["id"], {"user_id": 1}),
        await acme.patch(event["id"], both),
    ):
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/user_id"]
    answer = await acme.patch(event["id"], {"user_id": 1, "countries": []})
    assert (answer.json()["user_id"], answer.json()["countries"]) == (1, [])
    assert (await acme.get(event["id"])).json()["countries"] == []


async def test_a_retargeted_event_changes_its_viewers(
    acme: Caller, ada: Caller, ben: Caller
) -> None:
    event = await acme.created(countries=["US"])
    await acme.patch(event["id"], {"countries": ["DE"]})
    assert (await ada.titles(), await ben.titles()) == ([], ["Training"])
    await acme.patch(event["id"], {"active": False})
    assert (await ada.titles(), await ben.titles()) == ([], [])
    await acme.patch(event["id"], {"active": True, "countries": None})
    assert (await ada.titles(), await ben.titles()) == (["Training"], ["Training"])
