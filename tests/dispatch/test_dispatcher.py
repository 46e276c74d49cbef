"""What a dispatcher does with due notifications."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from calevents.adapters.memory import MemoryDirectory
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.audience import Member
from calevents.dispatcher import DispatchDetails, Dispatcher, DispatchKind, idempotency_keys
from calevents.event import Event
from calevents.exceptions import (
    StorageError,
    StorageUnavailable,
    UnknownCountry,
    UnknownTimeZone,
)
from calevents.ledger import DeliveryState, NotificationKey, NotificationState
from calevents.notification import Delivery, Message, Outcome, Recipient, Result
from calevents.ports import NotificationLedger
from calevents.testing import RecordingNotifier
from calevents.testing.events import NOON
from tests.dispatch.scenes import Scene, any_scene, memory_scene, people
from tests.postgres import Postgres

EVERYONE = list(range(1, 21))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    def new_url() -> str:
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.create_database()

    async with any_scene(request.param, tmp_path, new_url) as scene:
        yield scene


@pytest.fixture
def quick() -> Scene:
    """In memory: for what doesn't depend on the storage."""
    return memory_scene()


async def test_everybody_is_called_once_and_the_event_stamped(scene: Scene) -> None:
    event = await scene.event()
    await scene.event(start=NOON + timedelta(hours=1))
    await scene.event(active=False)
    await scene.dispatcher().run_once()
    assert sorted(d.recipient_id for d in scene.notifier.deliveries) == EVERYONE
    assert all(len(deliveries) <= 8 for _, deliveries in scene.notifier.calls)
    assert {told.id for told, _ in scene.notifier.calls} == {event.id}
    assert (await scene.stored(event)).notification_sent_at == scene.clock.now
    assert set(await scene.states(event)) == {DeliveryState.SENT}
    before = len(scene.notifier.calls)
    await scene.dispatcher().run_once()
    assert len(scene.notifier.calls) == before


async def test_what_can_t_be_sent_before_the_start_any_more_is_left(quick: Scene) -> None:
    """The test's clock stands still, a microsecond before the start; that of a call doesn't."""
    event = await quick.event(start=quick.clock.now + timedelta(microseconds=1))
    async with asyncio.timeout(30):
        await quick.dispatcher().run_once()
    assert quick.notifier.calls == []
    quick.clock.now += timedelta(microseconds=1)
    await quick.dispatcher().run_once()
    assert quick.notifier.calls == []
    assert set(await quick.states(event)) == {DeliveryState.EXPIRED}


async def test_companies_and_targets(scene: Scene) -> None:
    scene.directory = MemoryDirectory(
        {
            1: [Recipient(id=1, country="US"), Recipient(id=2, country="DE"), Recipient(id=3)],
            2: [Recipient(id=1, country="US")],
        }
    )
    for_all = await scene.event(id=1)
    for_germans = await scene.event(id=2, countries=("DE",))
    for_one = await scene.event(id=3, user_id=3)
    personal = await scene.event(id=4, user_id=1, personal=True)
    elsewhere = await scene.event(id=1, company_id=2)
    await scene.dispatcher().run_once()
    called = sorted(
        (event.company_id, event.id, delivery.recipient_id)
        for event, deliveries in scene.notifier.calls
        for delivery in deliveries
    )
    assert called == [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 2), (1, 3, 3), (1, 4, 1), (2, 1, 1)]
    for event in (for_all, for_germans, for_one, elsewhere):
        assert (await scene.stored(event)).notification_sent_at is not None
    assert (await scene.ledger.explain(1, personal.id, 1)).state is NotificationState.SENT


async def test_many_workers_share_one_event(scene: Scene) -> None:
    scene.directory = MemoryDirectory({1: people(300)})
    event = await scene.event()
    workers = [scene.dispatcher(page_size=37) for _ in range(4)]
    async with asyncio.timeout(60):
        while (await scene.stored(event)).notification_sent_at is None:
            await asyncio.gather(*(worker.run_once() for worker in workers))
    assert Counter(d.recipient_id for d in scene.notifier.deliveries) == Counter(range(1, 301))


async def test_in_the_background(scene: Scene) -> None:
    event = await scene.event()
    closed = asyncio.Event()

    def hook(details: DispatchDetails) -> None:
        if details.kind is DispatchKind.CLOSED:
            closed.set()

    async with scene.dispatcher(hook=hook) as dispatcher:
        with pytest.raises(RuntimeError, match="already running"):
            await dispatcher.__aenter__()
        with pytest.raises(RuntimeError, match="in the background"):
            await dispatcher.run_once()
        await asyncio.wait_for(closed.wait(), 30)
        closed.clear()
        another = await scene.event()
        dispatcher.wake()
        await asyncio.wait_for(closed.wait(), 30)
    for sent in (event, another):
        assert (await scene.stored(sent)).notification_sent_at is not None
    # It can be started again.
    async with dispatcher:
        pass


# Messages


async def test_each_reader_has_a_text_of_their_own(quick: Scene) -> None:
    quick.directory = MemoryDirectory(
        {
            1: [
                Recipient(id=1, locale="de", time_zone="Europe/Berlin"),
                Recipient(id=2, locale="de", time_zone="Europe/Berlin"),
                Recipient(id=3, locale="en", time_zone="UTC"),
            ]
        }
    )
    event = await quick.event()
    written: list[tuple[object, ...]] = []

    def text(event: Event, locale: str, time_zone: str, now: object) -> Message:
        written.append((event.id, locale, time_zone, now))
        return Message(locale, time_zone)

    await quick.dispatcher(text=text).run_once()
    now = quick.clock.now
    assert sorted(written) == [
        (event.id, "de", "Europe/Berlin", now),
        (event.id, "en", "UTC", now),
    ]
    assert [d.message.title for d in quick.notifier.deliveries] == ["de", "de", "en"]


async def test_the_default_text_is_english(quick: Scene) -> None:
    await quick.event(title="Training")
    await quick.dispatcher().run_once()
    assert "Training" in quick.notifier.deliveries[0].message.title


async def test_a_text_that_fails_is_replaced(quick: Scene) -> None:
    def text(event: Event, locale: str, time_zone: str, now: object) -> Message:
        raise KeyError(locale)

    await quick.event(title="Training")
    await quick.dispatcher(text=text).run_once()
    assert len(quick.notifier.deliveries) == 20
    assert "Training" in quick.notifier.deliveries[0].message.title
    assert "failed" in quick.kinds()


def test_an_idempotency_key_names_one_delivery() -> None:
    key = NotificationKey(1, 2, NOON)
    others = [
        idempotency_keys(attrs.evolve(key, company_id=2))(3, "push"),
        idempotency_keys(attrs.evolve(key, event_id=3))(3, "push"),
        idempotency_keys(attrs.evolve(key, start=NOON + timedelta(microseconds=1)))(3, "push"),
        idempotency_keys(key)(4, "push"),
        idempotency_keys(key)(3, "mail"),
        idempotency_keys(key)(3, "push"),
    ]
    assert len(set(others)) == len(others)
    assert idempotency_keys(key)(3, "push") == others[-1]


# What notifiers answer


async def test_transient_failures_are_tried_again(scene: Scene) -> None:
    event = await scene.event()
    scene.notifier.answer = lambda delivery: Result(
        Outcome.ACCEPTED if delivery.attempt == 3 else Outcome.TRANSIENT
    )
    dispatcher = scene.dispatcher(backoff=4.0)
    await dispatcher.run_once()
    assert len(scene.notifier.deliveries) == 20
    scene.clock.advance(timedelta(seconds=4))
    await dispatcher.run_once()
    assert len(scene.notifier.deliveries) == 40
    scene.clock.advance(timedelta(seconds=8))
    await dispatcher.run_once()
    assert set(await scene.states(event)) == {DeliveryState.SENT}
    attempts: dict[str, list[int]] = {}
    for delivery in scene.notifier.deliveries:
        attempts.setdefault(delivery.idempotency_key, []).append(delivery.attempt)
        assert delivery.address == f"secret-{delivery.recipient_id}"
    assert list(attempts.values()) == [[1, 2, 3]] * 20
    assert (await scene.stored(event)).notification_sent_at is not None


async def test_what_always_fails_is_dead(scene: Scene) -> None:
    event = await scene.event()
    scene.notifier.answer = lambda _: Result(Outcome.TRANSIENT, detail="503")
    dispatcher = scene.dispatcher(max_attempts=2, backoff=1.0)
    await dispatcher.run_once()
    scene.clock.advance(timedelta(seconds=1))
    await dispatcher.run_once()
    records = await scene.records(event)
    assert {(r.state, r.attempts, r.detail) for r in records} == {(DeliveryState.DEAD, 2, "503")}
    assert (await scene.stored(event)).notification_sent_at is not None


@pytest.mark.parametrize(
    ("retry_after", "least"),
    [(60.0, 60), (60.25, 61), (0.0, 0), (-1.0, 0), (None, 0), (float("nan"), 0)],
)
async def test_the_provider_says_how_long_to_wait(
    quick: Scene, retry_after: float | None, least: int
) -> None:
    await quick.event()
    quick.notifier.answer = lambda _: Result(Outcome.TRANSIENT, retry_after=retry_after)
    dispatcher = quick.dispatcher(backoff=2.0)
    await dispatcher.run_once()
    if least:
        quick.clock.advance(timedelta(seconds=least) - timedelta(microseconds=1))
        await dispatcher.run_once()
        assert len(quick.notifier.deliveries) == 20
    quick.clock.advance(timedelta(seconds=2, microseconds=1))
    await dispatcher.run_once()
    assert len(quick.notifier.deliveries) == 40


@pytest.mark.parametrize("retry_after", [float("inf"), 1e300])
async def test_a_wait_beyond_the_start_ends_as_expired(quick: Scene, retry_after: float) -> None:
    event = await quick.event()
    quick.notifier.answer = lambda _: Result(Outcome.TRANSIENT, retry_after=retry_after)
    dispatcher = quick.dispatcher()
    await dispatcher.run_once()
    quick.clock.now = NOON
    await dispatcher.run_once()
    assert set(await quick.states(event)) == {DeliveryState.EXPIRED}
    assert (await quick.stored(event)).notification_sent_at == NOON


async def test_rejected_is_for_good(scene: Scene) -> None:
    event = await scene.event()
    scene.notifier.answer = lambda delivery: (
        Result(Outcome.REJECTED, detail="gone\n" + "x" * 9_999)
        if delivery.recipient_id % 2
        else Result(Outcome.ACCEPTED)
    )
    await scene.dispatcher().run_once()
    assert Counter(await scene.states(event)) == {
        DeliveryState.REJECTED: 10,
        DeliveryState.SENT: 10,
    }
    (record,) = await scene.records(event, [1])
    assert record.detail is not None
    assert len(record.detail) == 500
    assert record.detail.isprintable()


@pytest.mark.parametrize("on_uncertain", ["retry", "skip"])
async def test_the_host_chooses_for_the_uncertain(scene: Scene, on_uncertain: str) -> None:
    event = await scene.event()
    scene.notifier.answer = lambda _: Result(Outcome.UNCERTAIN)
    dispatcher = scene.dispatcher(on_uncertain=on_uncertain, max_attempts=3, backoff=1.0)
    for _ in range(4):
        await dispatcher.run_once()
        scene.clock.advance(timedelta(seconds=10))
    calls = Counter(delivery.idempotency_key for delivery in scene.notifier.deliveries)
    assert set(calls.values()) == {1 if on_uncertain == "skip" else 3}
    assert set(await scene.states(event)) == {DeliveryState.UNCERTAIN}
    assert (await scene.stored(event)).notification_sent_at is not None


@pytest.mark.parametrize(
    "second", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.TRANSIENT, Outcome.UNCERTAIN]
)
async def test_a_doubt_ends_with_acceptance_alone(quick: Scene, second: Outcome) -> None:
    event = await quick.event(user_id=1)
    quick.notifier.answer = lambda delivery: Result(
        Outcome.UNCERTAIN if delivery.attempt == 1 else second
    )
    dispatcher = quick.dispatcher(max_attempts=2, backoff=1.0)
    await dispatcher.run_once()
    quick.clock.advance(timedelta(seconds=1))
    await dispatcher.run_once()
    accepted = second is Outcome.ACCEPTED
    expected = DeliveryState.SENT if accepted else DeliveryState.UNCERTAIN
    assert await quick.states(event) == [expected]


class _Broken(RecordingNotifier):
    """Breaks its contract in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        results = await super().send(event, deliveries)
        match self.how:
            case "raises":
                raise RuntimeError(f"could not reach {deliveries[0].address}")
            case "too few":
                return results[1:]
            case "nothing":
                return None  # type: ignore[return-value]  # that is what is tested
            case _:
                await asyncio.Event().wait()
        return results


@pytest.mark.parametrize("how", ["raises", "too few", "nothing", "hangs"])
async def test_a_broken_notifier_leaves_its_claims_uncertain(
    quick: Scene, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    event = await quick.event()
    quick.notifier = _Broken(how)
    dispatcher = quick.dispatcher(on_uncertain="skip", send_timeout=0.05)
    await dispatcher.run_once()
    assert set(await quick.states(event)) == {DeliveryState.UNCERTAIN}
    assert "failed" in quick.kinds()
    assert "secret" not in caplog.text
    assert "secret" not in repr(quick.told)


# The host's side


class _Directory:
    """Raises, or answers ids that don't ascend, as often as it is told to."""

    def __init__(self, how: str, times: int = 1) -> None:
        self.how = how
        self.times = times
        self.good = MemoryDirectory({1: people(20)})

    async def recipients(self, company_id: int, **options: Any) -> Sequence[Recipient]:
        if options["after"] is not None and self.times:
            self.times -= 1
            if self.how == "raises":
                raise OSError("no route to host")
            return people(3)
        return await self.good.recipients(company_id, **options)


@pytest.mark.parametrize("how", ["raises", "repeats"])
async def test_a_directory_that_fails_is_asked_again(scene: Scene, how: str) -> None:
    event = await scene.event()
    scene.directory = _Directory(how)
    dispatcher = scene.dispatcher(page_size=6)
    await dispatcher.run_once()
    await dispatcher.run_once()
    assert sorted(d.recipient_id for d in scene.notifier.deliveries) == EVERYONE
    assert (await scene.stored(event)).notification_sent_at is not None
    failures = [told for told in scene.told if told.kind is DispatchKind.FAILED]
    assert len(failures) == 1
    assert failures[0].key is not None
    assert failures[0].key.event_id == event.id


async def test_a_directory_that_always_fails_stops_nobody_else(quick: Scene) -> None:
    class Directory(_Directory):
        async def recipients(self, company_id: int, **options: Any) -> Sequence[Recipient]:
            if company_id == 2:
                raise OSError("no route to host")
            return await super().recipients(company_id, **options)

    quick.directory = Directory("raises", times=0)
    bad, good = await quick.event(company_id=2), await quick.event(company_id=1)
    async with asyncio.timeout(30):
        await quick.dispatcher().run_once()
    assert (await quick.stored(good)).notification_sent_at is not None
    assert (await quick.stored(bad)).notification_sent_at is None


def failures(told: Iterable[DispatchDetails]) -> set[str]:
    """What was told of failures, each once: a failure is met again until it is mended."""
    return {str(details.detail) for details in told if details.kind is DispatchKind.FAILED}


class _Rows:
    """A host's own members and its function that makes recipients of them."""

    def __init__(self, rows: dict[int, dict[str, Any]]) -> None:
        self.rows = rows

    async def recipients(
        self, company_id: int, *, after: int | None = None, limit: int, **_: Any
    ) -> Sequence[Recipient]:
        found = [number for number in sorted(self.rows) if number > (after or 0)][:limit]
        return [Recipient(**({"id": number} | self.rows[number])) for number in found]


async def test_members_are_pushed_to_however_their_country_is_spelled(scene: Scene) -> None:
    spellings = ("US", "us", "USA", "usa", "Us", "DE", None, "uk", "GB")
    rows = {number: {"country": country} for number, country in enumerate(spellings, 1)}
    seeing = {
        number
        for number, country in enumerate(spellings, 1)
        if Member(company_id=1, id=number, country=country).country in {"US", "GB"}
    }
    event = await scene.event(countries=("US", "GB"))
    other = await scene.event(company_id=2, countries=("DE",))
    scene.directory = _Rows(rows)
    await scene.dispatcher().run_once()
    pushed = [delivery for delivery in scene.notifier.deliveries if delivery.recipient_id != 6]
    assert {delivery.recipient_id for delivery in pushed} == seeing == {1, 2, 3, 4, 5, 8, 9}
    assert len(pushed) == len(seeing)
    assert [d.recipient_id for d in scene.notifier.deliveries if d not in pushed] == [6]
    for stored in (event, other):
        assert (await scene.stored(stored)).notification_sent_at is not None


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"country": "XK"}, "country must be an ISO 3166-1 code such as US or USA, or None, not"),
        ({"country": "secret"}, "country must be an ISO 3166-1 code such as US or USA, or None"),
        ({"locale": None}, "locale must be a string of 1 to 64 characters without NUL, not None"),
        ({"addresses": {"phone": 5}}, "an address must be a string, not int"),
        ({"addresses": {"phone": "secret\0"}}, "the address on 'phone' must have no NUL"),
    ],
)
async def test_a_recipient_that_cant_be_made_is_named_without_what_may_be_an_address(
    quick: Scene, caplog: pytest.LogCaptureFixture, bad: dict[str, Any], told: str
) -> None:
    event = await quick.event()
    rows: dict[int, dict[str, Any]] = {number: {"country": "us"} for number in EVERYONE}
    quick.directory = _Rows(rows | {17: bad})
    await quick.dispatcher().run_once()
    (detail,) = failures(quick.told)
    assert detail.startswith("InvalidRecipient at ")
    assert f": recipient 17: {told}" in detail
    assert detail in caplog.text
    assert "secret" not in detail + caplog.text
    # Nobody is lost by it: when the row is mended, all are pushed to.
    assert quick.notifier.deliveries == []
    quick.directory = _Rows(rows)
    await quick.dispatcher().run_once()
    assert sorted(d.recipient_id for d in quick.notifier.deliveries) == EVERYONE
    assert (await quick.stored(event)).notification_sent_at is not None


@pytest.mark.parametrize(
    "error",
    [
        OSError("secret"),
        ValueError("secret"),
        UnknownCountry("'secret' is not a country"),
        UnknownTimeZone("'secret'"),
    ],
    ids=repr,
)
async def test_the_text_of_any_other_error_is_kept_out(
    quick: Scene, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Directory(_Directory):
        async def recipients(self, company_id: int, **options: Any) -> Sequence[Recipient]:
            raise error

    await quick.event()
    quick.directory = Directory("raises")
    await quick.dispatcher().run_once()
    (detail,) = failures(quick.told)
    assert detail.startswith(f"{type(error).__name__} at ")
    assert "Directory.recipients:" in detail
    assert "secret" not in detail + caplog.text


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("sqlite", "OperationalError SQLITE_ERROR"), ("postgresql", "UndefinedTableError 42P01")],
)
async def test_a_database_without_tables_is_told_by_its_code(
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    kind: str,
    cause: str,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/empty.db"
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database()
    told: list[DispatchDetails] = []
    failed = asyncio.Event()

    def hook(details: DispatchDetails) -> None:
        told.append(details)
        failed.set()

    async with Database(url) as database:
        ledger = SQLAlchemyLedger(database)
        dispatcher = Dispatcher(
            ledger, MemoryDirectory({}), RecordingNotifier(), hook=hook, poll_interval=0.01
        )
        async with dispatcher, asyncio.timeout(30):
            await failed.wait()
    (detail,) = failures(told)
    assert detail.startswith("StorageError at ")
    assert detail.endswith(f": the database refused a statement ({cause})")
    assert "calevents_" not in caplog.text  # neither a table's name nor a statement
    assert "SELECT" not in caplog.text


async def test_a_storage_s_error_without_a_cause_is_told_as_it_is(quick: Scene) -> None:
    class Directory(_Directory):
        async def recipients(self, company_id: int, **options: Any) -> Sequence[Recipient]:
            if self.how == "alone":
                raise StorageError("the disk is full")
            raise StorageError("the disk is full") from OSError("secret")

    for how, end in (("alone", "the disk is full"), ("caused", "the disk is full (OSError)")):
        await quick.event()
        quick.directory = Directory(how)
        quick.told.clear()
        await quick.dispatcher().run_once()
        (detail,) = failures(quick.told)
        assert detail.endswith(f": {end}")


async def test_a_hook_that_raises_changes_nothing(
    quick: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(details: DispatchDetails) -> None:
        raise ZeroDivisionError

    event = await quick.event()
    await quick.dispatcher(hook=hook).run_once()
    assert (await quick.stored(event)).notification_sent_at is not None
    assert "the hook raised" in caplog.text


async def test_hooks_and_log_lines_tell_what_happened(
    quick: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    event = await quick.event()
    await quick.dispatcher(name="w1").run_once()
    kinds = quick.kinds()
    assert kinds[:2] == ["opened", "recorded"]
    assert kinds[-1] == "closed"
    assert Counter(kinds) >= Counter(
        dict.fromkeys(("claimed", "sending", "answered", "settled"), 3) | {"resolved": 1}
    )
    settled = [told for told in quick.told if told.kind is DispatchKind.SETTLED]
    assert sum(told.outcomes[DeliveryState.SENT] for told in settled) == 20
    assert f"kind=closed worker=w1 company_id=1 event_id={event.id}" in caplog.text
    assert any(getattr(record, "calevents", {}).get("sent") == 8 for record in caplog.records)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"on_uncertain": "maybe"},
        {"max_attempts": 0},
        {"page_size": 0},
        {"concurrency": 0},
        {"lease": 0},
        {"lease": float("inf")},
        {"poll_interval": -1},
        {"send_timeout": float("nan")},
        {"notifier": RecordingNotifier(claim_size=0)},
    ],
)
def test_bad_options_are_named(quick: Scene, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        quick.dispatcher(**options)


# Trouble


class _Flaky:
    """A ledger whose methods fail once each, before or after they did their work."""

    def __init__(self, scene: Scene, *, after: bool) -> None:
        self.scene = scene
        self.after = after
        self.failed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.scene.ledger, name)
        if name == "detached":
            return method

        async def flaky(*arguments: Any, **options: Any) -> Any:
            if name in self.failed:
                return await method(*arguments, **options)
            self.failed.add(name)
            if self.after:
                await method(*arguments, **options)
            if name in {"begin", "record", "resolved"}:
                # What was begun, and nobody knows of, is taken over after its lease.
                self.scene.clock.advance(timedelta(seconds=60))
            raise StorageUnavailable

        return flaky


@pytest.mark.parametrize("after", [False, True])
async def test_a_ledger_that_comes_and_goes(scene: Scene, after: bool) -> None:
    """No call is repeated, though nobody knows what the lost answers were."""
    event = await scene.event()
    flaky = _Flaky(scene, after=after)
    closed = asyncio.Event()

    def hook(details: DispatchDetails) -> None:
        if details.kind is DispatchKind.CLOSED:
            closed.set()

    if after:
        # The sweep that closes it is among what is lost.
        flaky.failed.add("sweep")
    async with scene.dispatcher(ledger=flaky, lease=60.0, hook=hook):
        await asyncio.wait_for(closed.wait(), 60)
    assert {"due", "begin", "record", "resolved", "claim", "settle", "sweep"} <= flaky.failed
    assert Counter(d.recipient_id for d in scene.notifier.deliveries) == Counter(EVERYONE)
    assert (await scene.stored(event)).notification_sent_at is not None


class _Slow(RecordingNotifier):
    """Holds each call until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()
        self.go_on = asyncio.Event()

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        results = await super().send(event, deliveries)
        self.called.set()
        await self.go_on.wait()
        return results


async def test_a_graceful_stop_finishes_the_call_and_hands_back_the_rest(scene: Scene) -> None:
    event = await scene.event()
    slow = scene.notifier = _Slow()
    dispatcher = scene.dispatcher(page_size=5)
    async with dispatcher:
        await asyncio.wait_for(slow.called.wait(), 30)
        stopping = asyncio.create_task(dispatcher.stop())
        await asyncio.sleep(0)
        slow.go_on.set()
        await stopping
    assert len(slow.calls) == 1
    states = Counter(await scene.states(event))
    assert states[DeliveryState.SENT] == len(slow.deliveries)
    assert DeliveryState.CLAIMED not in states
    # Nothing waits for a lease: the clock stands still.
    await scene.dispatcher().run_once()
    assert Counter(d.recipient_id for d in slow.deliveries) == Counter(EVERYONE)
    assert (await scene.stored(event)).notification_sent_at is not None


@pytest.mark.parametrize("how", ["grace", "hurry"])
async def test_a_call_that_outlasts_the_grace_is_uncertain(scene: Scene, how: str) -> None:
    event = await scene.event(user_id=1)
    slow = scene.notifier = _Slow()
    dispatcher = scene.dispatcher(on_uncertain="skip", grace=0.0 if how == "grace" else 1_000.0)
    async with dispatcher, asyncio.timeout(30):
        await slow.called.wait()
        if how == "hurry":
            dispatcher.hurry()
    (record,) = await scene.records(event)
    assert (record.state, record.attempts) == (DeliveryState.UNCERTAIN, 1)
    assert record.detail == "the worker was stopped"


async def test_no_call_is_made_late_in_a_lease(
    quick: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker was frozen between its claim and the call; others may be about to take over."""
    event = await quick.event(user_id=1)
    now = 0.0

    def monotonic() -> float:
        return now

    def hook(details: DispatchDetails) -> None:
        nonlocal now
        quick.told.append(details)
        if details.kind is DispatchKind.CLAIMED and now == 0.0:
            now = 31.0

    monkeypatch.setattr("calevents.dispatcher.monotonic", monotonic)
    monkeypatch.setattr("calevents.sending.monotonic", monotonic)
    monkeypatch.setattr("calevents.leases.monotonic", monotonic)
    await quick.dispatcher(hook=hook, lease=60.0).run_once()
    assert quick.kinds().index("released") < quick.kinds().index("sending")
    assert [delivery.attempt for delivery in quick.notifier.deliveries] == [1]
    assert await quick.states(event) == [DeliveryState.SENT]


async def test_no_call_is_made_when_the_start_has_come(
    quick: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the worker's own count of the seconds since the claim."""
    event = await quick.event(user_id=1)
    now = 0.0

    def monotonic() -> float:
        return now

    def hook(details: DispatchDetails) -> None:
        nonlocal now
        if details.kind is DispatchKind.CLAIMED:
            now = 1.0
            quick.clock.now = NOON

    quick.clock.now = NOON - timedelta(seconds=1)
    monkeypatch.setattr("calevents.dispatcher.monotonic", monotonic)
    monkeypatch.setattr("calevents.sending.monotonic", monotonic)
    monkeypatch.setattr("calevents.leases.monotonic", monotonic)
    await quick.dispatcher(hook=hook).run_once()
    assert quick.notifier.deliveries == []
    assert await quick.states(event) == [DeliveryState.EXPIRED]


class _Watched:
    """A ledger that tells when a lease was renewed from elsewhere."""

    def __init__(self, ledger: NotificationLedger) -> None:
        self.ledger = ledger
        self.renewed = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    @asynccontextmanager
    async def detached(self) -> AsyncIterator["_Watched"]:
        detached = self.ledger.detached()
        assert detached is not None
        async with detached as self.renewal:
            yield self

    async def renew(self, key: NotificationKey, token: str, *, lease: float) -> bool:
        held = await self.renewal.renew(key, token, lease=lease)
        self.renewed.set()
        return held


async def test_a_busy_event_loop_keeps_its_claims(scene: Scene) -> None:
    """The lease is renewed from another thread until the call ends, however long it blocks."""
    event = await scene.event(user_id=1)
    watched = _Watched(scene.ledger)

    class Blocking(RecordingNotifier):
        async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
            for _ in range(4):
                watched.renewed.clear()
                assert watched.renewed.wait(30)
                # Most of the lease, and the loop is blocked all the while.
                scene.clock.advance(timedelta(seconds=0.3))
            return await super().send(event, deliveries)

    scene.notifier = Blocking()
    await scene.dispatcher(ledger=watched, lease=0.4).run_once()
    assert "lost" not in scene.kinds()
    assert [delivery.attempt for delivery in scene.notifier.deliveries] == [1]
    assert await scene.states(event) == [DeliveryState.SENT]
