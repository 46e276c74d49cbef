"""One event, many recipients: calevents' dispatcher beside task queues, and beside itself."""

import asyncio
import json
import os
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import attrs
import psutil
from redis import Redis

from benchmarks.bench import CALEVENTS, Bench, Case, Comparison, Measured, Outcome, alone
from benchmarks.servers import Process, free_port
from calevents import Calendar
from calevents.adapters.sqlalchemy import Database
from tests.postgres import dsn

__all__ = ["FANOUT", "WORKERS"]

RECIPIENTS = 1_000_000
TASKS = 20_000
"""Recipients of the queues: with a task for each, a million would take them an hour."""
COMPANY = 1
ROUNDS = 3
PAGE_SIZE = 5_000
CONCURRENCY = 4
SECONDS_A_CALL = 0.2
"""What a provider may take for a call of 500."""
BROKER_VARIABLE = "BENCH_BROKER"
_TIMEOUT = 1800.0
_PYTHON = sys.executable


@attrs.frozen
class Run:
    """One event pushed to all of its recipients."""

    rate: float
    """Recipients per second."""
    memory: float
    """Megabytes that a worker grew by, at its largest."""
    cpu: float
    """Processor time of the workers for one recipient, in microseconds."""
    busy: float
    """Cores that the whole machine kept busy: the workers, PostgreSQL, and this harness."""


def run_fanout(bench: Bench) -> Outcome:
    """One worker; then each of the queues."""
    recipients = max(round(RECIPIENTS * bench.scale), 10_000)
    tasks = max(round(TASKS * min(bench.scale * 10, 1)), 2_000)
    url = _database(bench, recipients)
    rounds = min(ROUNDS, bench.rounds)
    runs: list[Run] = []
    queues: dict[str, list[float]] = {}
    skipped: list[str] = []
    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        peers: dict[str, Callable[[], float]] = {
            "procrastinate": lambda: _procrastinate(bench, tasks)
        }
        if broker is None:
            skipped.append(
                "Celery and Taskiq: no Redis at 127.0.0.1:6379, none on the PATH, and "
                f"{BROKER_VARIABLE} names none"
            )
        else:
            peers["Celery"] = lambda: _celery(bench, broker, tasks)
            peers["Taskiq"] = lambda: _taskiq(bench, broker, tasks)
        queues = {name: [] for name in peers}
        with bench.task("fan-out", rounds * (1 + len(peers))) as advance:
            for _ in range(rounds):
                runs.append(_dispatch(bench, url, recipients, workers=1))
                advance(1)
                for name, peer in peers.items():
                    queues[name].append(peer())
                    advance(1)
    ours = [run.rate for run in runs]
    memory = [run.memory for run in runs]
    case = f"fan-out to {recipients:,} recipients"
    return Outcome(
        comparisons=[
            alone(
                f"{case}, one worker",
                statistics.median(ours),
                unit="recipients/s",
                goal=20_000,
                at_least=True,
            ),
            *(
                Comparison(
                    case=case,
                    against=f"{name}, a task each",
                    ours=statistics.median(ours),
                    theirs=statistics.median(theirs),
                    unit="recipients/s",
                    ratio=statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
                    goal=10,
                )
                for name, theirs in queues.items()
            ),
            alone(f"{case}, memory over idle", max(memory), unit="MB", goal=50, at_least=False),
        ],
        measured=[
            Measured(subject=CALEVENTS, values=ours, unit="recipients/s"),
            Measured(
                subject=CALEVENTS,
                values=[run.cpu for run in runs],
                unit="µs of worker CPU/recipient",
            ),
            Measured(subject=CALEVENTS, values=memory, unit="MB over idle"),
            *(
                Measured(subject=n, values=values, unit="recipients/s")
                for n, values in queues.items()
            ),
        ],
        skipped=skipped,
        settings={
            "recipients": recipients,
            "recipients of the queues": tasks,
            "page_size": PAGE_SIZE,
            "concurrency": CONCURRENCY,
            "claim_size": 500,
        },
    )


def run_workers(bench: Bench) -> Outcome:
    """Two worker processes on one event, beside one; then the same with a provider that takes time.

    With the first, the machine's cores are the limit, with the second the provider is.
    """
    recipients = max(round(RECIPIENTS * bench.scale), 10_000)
    few = max(recipients // 5, 10_000)
    case = f"two workers, {recipients:,} recipients of one event"
    slow = f"two workers, {few:,} recipients, {SECONDS_A_CALL:g} s a call"
    outcomes = [
        _compare_workers(bench, case, recipients, goal=1.6),
        _compare_workers(bench, slow, few, goal=None, seconds_a_call=SECONDS_A_CALL),
    ]
    return Outcome(
        comparisons=[comparison for comparison, _ in outcomes],
        measured=[line for _, lines in outcomes for line in lines],
        settings={"recipients": recipients, "recipients of the slow provider": few},
    )


def _compare_workers(
    bench: Bench, case: str, recipients: int, *, goal: float | None, seconds_a_call: float = 0.0
) -> tuple[Comparison, Sequence[Measured]]:
    url = _database(bench, recipients)
    rounds = min(ROUNDS, bench.rounds)
    runs: dict[int, list[Run]] = {1: [], 2: []}
    with bench.task(case, rounds * 2) as advance:
        for _ in range(rounds):
            for workers, found in runs.items():
                run = _dispatch(
                    bench, url, recipients, workers=workers, seconds_a_call=seconds_a_call
                )
                found.append(run)
                advance(1)
    one, two = ([run.rate for run in found] for found in runs.values())
    comparison = Comparison(
        case=case,
        against="one worker",
        ours=statistics.median(two),
        theirs=statistics.median(one),
        unit="recipients/s",
        ratio=statistics.median(a / b for a, b in zip(two, one, strict=True)),
        goal=goal,
    )
    names = ("one worker", "two workers")
    if seconds_a_call:
        names = ("one worker, slow provider", "two workers, slow provider")
    lines = [
        line
        for name, found in zip(names, runs.values(), strict=True)
        for line in (
            Measured(subject=name, values=[run.rate for run in found], unit="recipients/s"),
            Measured(
                subject=name, values=[run.cpu for run in found], unit="µs of worker CPU/recipient"
            ),
            Measured(
                subject=name,
                values=[run.busy for run in found],
                unit=f"cores busy, of {psutil.cpu_count()}",
            ),
        )
    ]
    return comparison, lines


def _database(bench: Bench, recipients: int) -> str:
    """A database with the calendar's tables, and the host's own members."""
    url = bench.postgres.create_database()
    with bench.task(f"loading {recipients:,} members"):
        asyncio.run(_load(url, recipients))
    return url


async def _load(url: str, recipients: int) -> None:
    async with Database(url) as database:
        await database.create_tables()
    connection = await asyncpg.connect(dsn(url))
    try:
        await connection.execute(
            """CREATE TABLE bench_members (
                company_id bigint, id bigint, country text, locale text, time_zone text, token text,
                PRIMARY KEY (company_id, id))"""
        )
        await connection.execute(
            """INSERT INTO bench_members
            SELECT $1, n, (ARRAY['US', 'CA', 'MX', 'DE'])[n % 4 + 1],
                (ARRAY['en', 'fr', 'es', 'de'])[n % 4 + 1],
                (ARRAY['America/New_York', 'America/Toronto', 'America/Mexico_City',
                       'Europe/Berlin'])[n % 4 + 1],
                md5(n::text)
            FROM generate_series(1, $2::bigint) AS n""",
            COMPANY,
            recipients,
        )
        await connection.execute("VACUUM (FREEZE, ANALYZE) bench_members")
    finally:
        await connection.close()


def _dispatch(
    bench: Bench, url: str, recipients: int, *, workers: int, seconds_a_call: float = 0.0
) -> Run:
    """Push one new event to everybody; every recipient ends in the ledger as sent."""
    done = [bench.folder / f"done-{uuid4().hex}" for _ in range(workers)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                Process(
                    *(_PYTHON, "-m", "benchmarks.queues.calevents_worker"),
                    environment={
                        "DATABASE_URL": url,
                        "EXPECTED": str(recipients),
                        "DONE_FILE": str(path),
                        "PAGE_SIZE": str(PAGE_SIZE),
                        "CONCURRENCY": str(CONCURRENCY),
                        "SECONDS_A_CALL": str(seconds_a_call),
                    },
                    talks=True,
                )
            )
            for path in done
        ]
        for process, path in zip(processes, done, strict=True):
            process.wait_for(path.with_suffix(".ready"), _TIMEOUT)
        event_id = asyncio.run(_create_event(url))
        with _memory_watched([process.processes for process in processes]) as grown:
            cpu = -sum(process.cpu_seconds() for process in processes)
            busy = -_busy_seconds()
            begin = time.monotonic()
            for process in processes:
                process.say("go")
            asyncio.run(_until_sent(url, event_id, processes))
            seconds = time.monotonic() - begin
            busy += _busy_seconds()
            cpu += sum(process.cpu_seconds() for process in processes)
        for process in processes:
            process.say("stop")
        for process, path in zip(processes, done, strict=True):
            process.wait_for(path, _TIMEOUT)
        left = recipients - sum(recipients - json.loads(path.read_text())["left"] for path in done)
    if left:
        raise RuntimeError(f"{left} recipients weren't called")
    asyncio.run(_check_and_forget(url, event_id, recipients))
    return Run(recipients / seconds, max(grown), cpu / recipients * 1e6, busy / seconds)


def _busy_seconds() -> float:
    """Processor time that the machine has spent on anything."""
    times = psutil.cpu_times()
    # Linux counts a guest's time among the user's as well.
    not_worked = ("idle", "iowait", "steal", "guest", "guest_nice")
    return float(sum(v for name, v in times._asdict().items() if name not in not_worked))


async def _create_event(url: str) -> int:
    """A company-wide event that starts within the hour: due at once."""
    start = datetime.now(UTC) + timedelta(minutes=55)
    async with Database(url) as database:
        event = (
            await Calendar(database.repository)
            .company(COMPANY)
            .create(
                {
                    "title": "Summer Product Launch",
                    "venue": "Virtual Event - Zoom",
                    "start": start,
                    "end": start + timedelta(hours=2),
                }
            )
        )
    return event.id


async def _until_sent(url: str, event_id: int, processes: Sequence[Process]) -> None:
    """Wait until the event is stamped."""
    connection = await asyncpg.connect(dsn(url))
    query = "SELECT notification_sent_at FROM calevents_events WHERE company_id = $1 AND id = $2"
    deadline = time.monotonic() + _TIMEOUT
    try:
        while await connection.fetchval(query, COMPANY, event_id) is None:
            for process in processes:
                if not process.running:
                    raise RuntimeError(f"a worker ended:\n{process.log[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the event isn't stamped:\n{processes[0].log[-4000:]}")
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def _check_and_forget(url: str, event_id: int, recipients: int) -> None:
    connection = await asyncpg.connect(dsn(url))
    try:
        sent = await connection.fetchval(
            "SELECT count(*) FROM calevents_deliveries WHERE event_id = $1 AND state = 'sent'",
            event_id,
        )
        if sent != recipients:
            raise RuntimeError(f"{sent} of {recipients} recipients are in the ledger as sent")
        # The next round begins where this one began.
        await connection.execute(
            "TRUNCATE calevents_deliveries, calevents_delivery_batches, calevents_notifications,"
            " calevents_events, calevents_audiences"
        )
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


@contextmanager
def _memory_watched(processes: Sequence[psutil.Process]) -> Iterator[list[float]]:
    """Megabytes that each process has grown by, at its largest."""
    idle = [process.memory_info().rss for process in processes]
    grown = [0.0] * len(processes)
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            for index, process in enumerate(processes):
                if process.is_running():
                    rss = process.memory_info().rss
                    grown[index] = max(grown[index], (rss - idle[index]) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        stopped.set()
        thread.join()


@contextmanager
def _broker() -> Iterator[str | None]:
    """A Redis: the one that is named, the usual one, or one of the run's own."""
    if named := os.environ.get(BROKER_VARIABLE):
        yield named
    elif _answers(6379):
        yield "redis://127.0.0.1:6379/9"
    elif program := shutil.which("redis-server"):
        port = free_port()
        command = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "")
        with Process(*command) as server:
            while server.running and not _answers(port):
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
    else:
        yield None


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _celery(bench: Bench, broker: str, tasks: int) -> float:
    return _queue(
        bench,
        tasks,
        worker=(
            *("-m", "celery", "-A", "benchmarks.queues.celery_app", "worker", "--pool", "solo"),
            *(
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "--loglevel",
                "WARNING",
            ),
        ),
        producer=("-m", "benchmarks.queues.celery_app"),
        broker=broker,
    )


def _taskiq(bench: Bench, broker: str, tasks: int) -> float:
    return _queue(
        bench,
        tasks,
        worker=(
            *("-m", "taskiq", "worker", "benchmarks.queues.taskiq_app:broker", "--workers", "1"),
            *("--log-level", "WARNING"),
        ),
        producer=("-m", "benchmarks.queues.taskiq_app"),
        broker=broker,
    )


def _procrastinate(bench: Bench, tasks: int) -> float:
    url = bench.postgres.create_database()
    module = "benchmarks.queues.procrastinate_app"
    environment = {"DSN": dsn(url), "EXPECTED": "1", "DONE_FILE": str(bench.folder / "unused")}
    with Process(_PYTHON, "-m", module, "prepare", environment=environment) as preparation:
        preparation.wait(60)
    return _queue(
        bench,
        tasks,
        worker=("-m", module, "work"),
        producer=("-m", module, "defer"),
        url=dsn(url),
    )


def _queue(
    bench: Bench,
    tasks: int,
    *,
    worker: Sequence[str],
    producer: Sequence[str],
    broker: str = "",
    url: str = "",
) -> float:
    """Tasks per second, from the producer's start until the worker has done the last one."""
    path: Path = bench.folder / f"done-{uuid4().hex}"
    queue = f"calevents-bench-{uuid4().hex}"
    environment = {
        "BROKER": broker,
        "DSN": url,
        "QUEUE": queue,
        "EXPECTED": str(tasks),
        "DONE_FILE": str(path),
    }
    with Process(_PYTHON, *worker, environment=environment) as process:
        process.wait_for(path.with_suffix(".working"), 60)
        with Process(_PYTHON, *producer, environment=environment, talks=True) as enqueuing:
            enqueuing.wait_for(path.with_suffix(".ready"), 60)
            begin = time.monotonic()
            enqueuing.say("go")
            process.wait_for(path, _TIMEOUT)
            enqueuing.wait(60)
    if broker.startswith("redis"):
        _forget(broker, queue)
    end: float = json.loads(path.read_text())["at"]
    return tasks / (end - begin)


def _forget(broker: str, queue: str) -> None:
    """Leave nothing behind in a Redis that may be somebody's."""
    with Redis.from_url(broker) as redis:
        for key in redis.scan_iter(f"*{queue}*"):
            redis.delete(key)


FANOUT = Case("fanout", "one event, a million recipients", run_fanout)
WORKERS = Case("workers", "two workers on one event", run_workers)
