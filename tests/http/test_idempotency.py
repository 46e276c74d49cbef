"""Idempotency-Key on POST."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from calevents import Calendar
from calevents.adapters.starlette import create_app
from calevents.ports import EventRepository
from calevents.testing import FixedClock
from tests.http.callers import Caller, a_draft, authenticate, client_of
from tests.http.test_errors import problem

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_the_first_answer_is_given_again_to_the_byte(
    owner: Caller, clock: FixedClock
) -> None:
    first = await owner.post(a_draft(image_url="https://example.com/a.png"), headers=KEY)
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    event_id = first.json()["id"]
    clock.advance(timedelta(hours=1))  # its status has changed by now
    await owner.patch(event_id, {"title": "Changed"})
    for _ in range(2):
        again = await owner.post(a_draft(image_url="https://example.com/a.png"), headers=KEY)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
        await owner.delete(event_id)
    assert await owner.titles(view="all") == []


async def test_order_and_envelope_dont_make_another_body(owner: Caller) -> None:
    first = await owner.post(a_draft(), headers=KEY)
    turned = dict(reversed(a_draft().items()))
    for body in (turned, {"event": turned}):
        again = await owner.post(body, headers=KEY)
        assert (again.status_code, again.content) == (201, first.content)


async def test_another_body_under_the_same_key(owner: Caller) -> None:
    await owner.post(a_draft(), headers=KEY)
    answer = await owner.post(a_draft(venue="Hall"), headers=KEY)
    document = problem(answer, 422)
    assert "Idempotency-Key" in document["detail"]
    assert "errors" not in document
    assert len(await owner.titles()) == 1


async def test_keys_belong_to_one_principal(
    acme: Caller, globex: Caller, ada: Caller, cleo: Caller, zoe: Caller
) -> None:
    answers = [
        await caller.post(a_draft(), headers=KEY) for caller in (acme, globex, ada, cleo, zoe)
    ]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert not any("idempotent-replayed" in answer.headers for answer in answers)
    assert len({answer.json()["id"] for answer in answers}) == 5


async def test_a_key_is_forgotten_after_24_hours(owner: Caller, clock: FixedClock) -> None:
    first = await owner.post(a_draft(), headers=KEY)
    clock.advance(timedelta(hours=24) - timedelta(microseconds=1))
    assert (await owner.post(a_draft(), headers=KEY)).content == first.content
    clock.advance(timedelta(microseconds=1))
    second = await owner.post(a_draft(), headers=KEY)
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


async def test_a_refused_body_doesnt_use_the_key_up(owner: Caller) -> None:
    assert (await owner.post(a_draft(title=""), headers=KEY)).status_code == 422
    assert (await owner.post(a_draft(), headers=KEY)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9".encode(), b"a\tb"])
async def test_a_bad_key_is_named(owner: Caller, key: str | bytes) -> None:
    answer = await owner.client.post(
        owner.events,
        headers=[
            (b"Authorization", f"Bearer {owner.name}".encode()),
            (b"Idempotency-Key", key if isinstance(key, bytes) else key.encode()),
        ],
        json=a_draft(),
    )
    assert "Idempotency-Key" in problem(answer, 400)["detail"]
    assert await owner.titles() == []


async def test_two_keys_are_none(owner: Caller) -> None:
    answer = await owner.client.post(
        owner.events,
        headers=[("Authorization", f"Bearer {owner.name}"), *[("Idempotency-Key", "k")] * 2],
        json=a_draft(),
    )
    assert "Idempotency-Key" in problem(answer, 400)["detail"]


class Gated:
    """A storage that creates nothing until it is let."""

    def __init__(self, repository: EventRepository) -> None:
        self.repository = repository
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.repository, name)

    async def create(self, *arguments: Any) -> Any:
        self.entered.set()
        await self.gate.wait()
        return await self.repository.create(*arguments)


@pytest.mark.parametrize("name", ["acme", "ada"])
async def test_while_the_first_is_in_flight_the_second_is_told_to_wait(
    repository: EventRepository, clock: FixedClock, name: str
) -> None:
    gated = Gated(repository)
    app = create_app(Calendar(gated, clock=clock), authenticate)
    async with client_of(app) as client:
        caller, other = Caller(client, name), Caller(client, "globex")
        first = asyncio.create_task(caller.post(a_draft(), headers=KEY))
        await gated.entered.wait()
        early = [await caller.post(body, headers=KEY) for body in (a_draft(), a_draft(venue="B"))]
        unrelated = asyncio.create_task(other.post(a_draft(), headers=KEY))
        gated.gate.set()
        created = await first
        late = await caller.post(a_draft(), headers=KEY)
        assert (await unrelated).status_code == 201
    for answer in early:
        assert problem(answer, 409)["title"] == "Conflict"
        assert answer.headers["retry-after"] == "1"
    assert created.status_code == 201
    assert (late.content, late.headers["idempotent-replayed"]) == (created.content, "true")


async def test_of_many_at_once_one_creates(owner: Caller) -> None:
    async def post() -> httpx2.Response:
        return await owner.post(a_draft(), headers=KEY)

    answers = await asyncio.gather(*(post() for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    created = {answer.content for answer in answers if answer.status_code == 201}
    assert len(created) == 1
    assert await owner.titles() == ["Training"]
