"""One host's trouble, one caller's end and one stuck thread stay their own."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from calevents.adapters.apprise import notifier as notifier_module
from calevents.notification import Outcome
from tests.apprise.pushes import EVENT, delivery, notifier
from tests.apprise.sinks import PATIENCE, Sink, answers, refusing_port, tarpit


async def arrived(sink: Sink) -> None:
    """Wait until the sink has read another request."""
    await asyncio.to_thread(sink.arrived.get, timeout=PATIENCE)


async def test_a_tarpit_does_not_keep_other_hosts_waiting() -> None:
    with Sink(tarpit) as slow, Sink(answers()) as quick:
        async with notifier(threads=3, calls_per_host=2) as apprise:
            stuck = asyncio.ensure_future(
                apprise.send(EVENT, [delivery(f"json://{slow.host}/", n) for n in range(8)])
            )
            await arrived(slow)
            await arrived(slow)
            results = await apprise.send(
                EVENT, [delivery(f"json://{quick.host}/", n) for n in range(8)]
            )
            assert [result.outcome for result in results] == [Outcome.ACCEPTED] * 8
            # All of it while the tarpit still held its calls, and no more than two of them.
            assert not stuck.done()
            assert len(slow.requests) == 2
            slow.released.set()
            assert [result.outcome for result in await stuck] == [Outcome.ACCEPTED] * 8


async def test_a_host_that_fails_is_not_called_any_more() -> None:
    with refusing_port() as port, Sink(answers()) as other:
        async with notifier(failures=3, pause=1000, calls_per_host=1) as apprise:
            results = await apprise.send(
                EVENT, [delivery(f"json://127.0.0.1:{port}/", n) for n in range(8)]
            )
            details = [result.detail for result in results]
            assert {result.outcome for result in results} == {Outcome.TRANSIENT}
            assert (
                details == ["no connection"] * 3 + ["the host fails; it is not called for now"] * 5
            )
            for result in results[3:]:
                assert result.retry_after is not None
                assert 0 < result.retry_after <= 1000
            # Another port is another host.
            (result,) = await apprise.send(EVENT, [delivery(f"json://{other.host}/")])
            assert result.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("status", "opens"), [(500, True), (503, True), (429, False), (404, False)]
)
async def test_which_answers_count_as_failures(status: int, opens: bool) -> None:
    with Sink(answers(status)) as sink:
        async with notifier(failures=2, pause=1000) as apprise:
            for _ in range(4):
                await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
        assert len(sink.requests) == (2 if opens else 4)


async def test_a_success_starts_the_count_anew() -> None:
    with Sink(answers(500), answers(200), answers(500), answers(200)) as sink:
        async with notifier(failures=2, pause=1000) as apprise:
            results = [
                (await apprise.send(EVENT, [delivery(f"json://{sink.host}/")]))[0].outcome
                for _ in range(4)
            ]
    assert results == [Outcome.TRANSIENT, Outcome.ACCEPTED] * 2


async def test_after_the_pause_a_probe_finds_that_the_host_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "calevents")
    with Sink(answers(500), answers(200)) as sink:
        # A pause that is over at once: what is asked next is the probe.
        async with notifier(failures=1, pause=1e-9) as apprise:
            for _ in range(3):
                await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
        assert len(sink.requests) == 3
    said = [record.getMessage().partition(" ")[2] for record in caplog.records]
    assert said == ["fails (HTTP 500); pausing its deliveries", "works again"]


# Cancelled, closed, stuck


async def test_a_cancelled_call_ends_by_itself_and_gives_its_thread_back() -> None:
    with Sink(tarpit) as slow, Sink(answers()) as quick:
        async with notifier(threads=1) as apprise:
            sending = asyncio.ensure_future(
                apprise.send(EVENT, [delivery(f"json://{slow.host}/", n) for n in range(3)])
            )
            await arrived(slow)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            slow.released.set()
            (result,) = await apprise.send(EVENT, [delivery(f"json://{quick.host}/")])
            assert result.outcome is Outcome.ACCEPTED
        # Those that only waited for the thread were not called.
        assert len(slow.requests) == 1


async def test_closing_waits_for_calls_that_nobody_waits_for_any_more() -> None:
    with Sink(tarpit) as slow:
        apprise = notifier()
        sending = asyncio.ensure_future(apprise.send(EVENT, [delivery(f"json://{slow.host}/")]))
        await arrived(slow)
        sending.cancel()
        closing = asyncio.ensure_future(apprise.aclose())
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not closing.done()
        slow.released.set()
        await closing


async def test_a_closed_notifier_takes_nothing() -> None:
    with Sink(answers()) as sink:
        apprise = notifier()
        await apprise.aclose()
        await apprise.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
        assert not sink.requests


class Stuck:
    """In the place of a plugin that doesn't speak HTTP: no cutting of connections ends it."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.running = threading.Semaphore(0)

    def __call__(self, target: object, delivery: object) -> bool:
        self.running.release()
        self.released.wait(PATIENCE)
        return True


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Stuck:
    stuck = Stuck()
    monkeypatch.setattr(notifier_module, "_notify", stuck)
    return stuck


async def test_a_thread_that_is_stuck_keeps_its_slot_and_nobody_waits_for_it(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    apprise = notifier(threads=2, deadline=0.1, failures=100)
    with Sink(answers()) as sink:
        first, second = await apprise.send(
            EVENT, [delivery("json://stuck.example/", n) for n in range(2)]
        )
        assert (first.outcome, second.outcome) == (Outcome.UNCERTAIN, Outcome.UNCERTAIN)
        # Both threads are taken, whatever the host.
        (result,) = await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
        assert result.outcome is Outcome.TRANSIENT
        assert result.detail == "no call could begin in time"
        monkeypatch.undo()
        stuck.released.set()
        await until(lambda: apprise.send(EVENT, [delivery(f"json://{sink.host}/")]), sink)
    await apprise.aclose()


async def until(send: Callable[[], Awaitable[object]], sink: Sink) -> None:
    async with asyncio.timeout(PATIENCE):
        while not sink.requests:
            await send()


async def test_a_thread_that_cannot_be_started_is_transient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Sink(answers()) as sink:
        async with notifier(threads=1, calls_per_host=1) as apprise:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", no_thread)
                (failed,) = await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
            (result,) = await apprise.send(EVENT, [delivery(f"json://{sink.host}/")])
    assert (failed.outcome, result.outcome) == (Outcome.TRANSIENT, Outcome.ACCEPTED)


async def test_a_plugin_that_breaks_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(target: object, delivery: object) -> bool:
        sys.exit("a plugin may do anything")

    monkeypatch.setattr(notifier_module, "_notify", breaks)
    async with notifier(threads=1) as apprise:
        for _ in range(2):
            (result,) = await apprise.send(EVENT, [delivery("json://sink.example/")])
            assert result.outcome is Outcome.UNCERTAIN


def test_a_stuck_thread_does_not_keep_the_process() -> None:
    script = """
import asyncio, threading
from calevents.adapters.apprise import notifier as module
from tests.apprise.pushes import EVENT, delivery, notifier
module._notify = lambda target, delivery: threading.Event().wait()
async def main():
    (result,) = await notifier(deadline=0.1).send(EVENT, [delivery("json://stuck.example/")])
    print(result.outcome)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "uncertain\n"


def test_the_core_does_not_load_apprise() -> None:
    script = "import sys, calevents, calevents.messages; print('apprise' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
