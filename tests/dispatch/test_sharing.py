"""How workers share the recipients of one event while they are looked for."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from calevents import dispatcher
from calevents.adapters.memory import MemoryDirectory
from calevents.dispatcher import DispatchDetails, DispatchKind
from calevents.notification import Recipient
from calevents.testing import RecordingNotifier
from calevents.testing.ledger_contract.scene import key_of
from tests.dispatch.scenes import Scene, any_scene, people
from tests.postgres import Postgres


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    def new_url() -> str:
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.create_database()

    async with any_scene(request.param, tmp_path, new_url) as scene:
        yield scene


class HeldDirectory:
    """Answers one page; everything behind it when it is let go on."""

    def __init__(self, count: int) -> None:
        self._members = MemoryDirectory({1: people(count)})
        self.fails = 0
        self.asked_again = asyncio.Event()
        self.go_on = asyncio.Event()

    async def recipients(
        self,
        company_id: int,
        *,
        countries: Sequence[str] = (),
        user_id: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> Sequence[Recipient]:
        if after is not None:
            self.asked_again.set()
            await self.go_on.wait()
            if self.fails:
                self.fails -= 1
                raise RuntimeError("not now")
        await asyncio.sleep(0)  # others have their turn, whatever the storage
        return await self._members.recipients(
            company_id, countries=countries, user_id=user_id, after=after, limit=limit
        )


def called(*notifiers: RecordingNotifier) -> Counter[int]:
    return Counter(d.recipient_id for notifier in notifiers for d in notifier.deliveries)


async def test_who_looks_for_recipients_leaves_the_first_of_them_to_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_PATIENCE", math.inf)
    event = await scene.event()
    directory = HeldDirectory(100)
    sent = asyncio.Event()
    mine, other = RecordingNotifier(), RecordingNotifier()

    def hook(details: DispatchDetails) -> None:
        if details.kind is DispatchKind.CLOSED:
            sent.set()

    async with scene.dispatcher(directory=directory, notifier=mine, page_size=40, hook=hook):
        await asyncio.wait_for(directory.asked_again.wait(), 30)
        async with asyncio.timeout(30):
            while len(called(other)) < 40:
                await scene.dispatcher(notifier=other).run_once()
        assert not mine.calls
        directory.go_on.set()
        await asyncio.wait_for(sent.wait(), 30)
    assert called(mine, other) == Counter(range(1, 101))
    assert (await scene.stored(event)).notification_sent_at is not None


async def test_nobody_waits_for_a_directory_that_hangs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_PATIENCE", 0.0)
    await scene.event()
    directory = HeldDirectory(100)
    first_page_sent = asyncio.Event()

    def hook(details: DispatchDetails) -> None:
        if len(called(scene.notifier)) == 40:
            first_page_sent.set()

    async with scene.dispatcher(directory=directory, page_size=40, hook=hook):
        await asyncio.wait_for(first_page_sent.wait(), 30)
        assert not directory.go_on.is_set()
        directory.go_on.set()


async def test_a_single_worker_sends_before_everybody_is_found(scene: Scene) -> None:
    await scene.event()
    directory = HeldDirectory(2_000)
    directory.go_on.set()
    await scene.dispatcher(directory=directory, page_size=80).run_once()
    kinds = scene.kinds()
    assert kinds.index("recorded") < kinds.index("sending") < kinds.index("resolved")
    assert called(scene.notifier) == Counter(range(1, 2_001))


async def test_what_is_left_to_others_is_sent_when_the_search_fails(scene: Scene) -> None:
    """By this worker, if there is no other."""
    await scene.event()
    directory = HeldDirectory(100)
    directory.fails = 1
    directory.go_on.set()
    dispatcher = scene.dispatcher(directory=directory, page_size=40)
    await dispatcher.run_once()
    await dispatcher.run_once()
    assert directory.fails == 0
    assert called(scene.notifier) == Counter(range(1, 101))


async def test_an_idle_worker_looks_again_soon_while_another_looks_for_recipients(
    scene: Scene,
) -> None:
    """However long its interval is."""
    key = key_of(await scene.event())
    told: asyncio.Queue[DispatchKind] = asyncio.Queue()

    async def hear(kind: DispatchKind) -> None:
        while await told.get() is not kind:
            pass

    search = await scene.ledger.begin(key, token="elsewhere", lease=60)
    async with (
        scene.dispatcher(poll_interval=3_600.0, hook=lambda details: told.put_nowait(details.kind)),
        asyncio.timeout(60),
    ):
        for number in range(1, 4):
            assert search is not None
            page = people(number)[-1:]
            search = await scene.ledger.record(search, page, batch_size=8, lease=60)
            await hear(DispatchKind.SETTLED)
            assert called(scene.notifier) == Counter(range(1, number + 1))
        assert search is not None
        assert await scene.ledger.resolved(search)
        await hear(DispatchKind.CLOSED)
