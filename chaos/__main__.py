"""``python -m chaos --database sqlite --rounds 100``: kill workers, and count what is lost."""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import attrs
from sqlalchemy import func, select

from calevents.adapters.sqlalchemy import Database
from calevents.audience import Company
from calevents.event import Event
from calevents.exceptions import CalendarError, StorageUnavailable
from calevents.identifiers import new_id
from chaos.checker import Expectation, Figures, check
from chaos.databases import PostgreSQLBed, SQLiteBed, bed
from chaos.sink import Sink
from chaos.workers import Worker, Workers

COUNTRIES = ("US", "DE", "FR")
MEMBERS = [(number, COUNTRIES[number % 3]) for number in range(1, 91)]
CHANGES = ("delete", "off", "move", "retarget", "to and fro")
SCENES = ("kill", "freeze", "deploy", "change", "start", "trouble", "kill", "change", "trouble")
HARMLESS = ("deploy", "terminate", "busy")
"""Nobody is killed in these: nothing may be repeated, unless a named point was set before."""

STUCK = 90.0
T = TypeVar("T")


class Chaos:
    """The rounds, one after the other, over the same workers."""

    def __init__(
        self,
        options: argparse.Namespace,
        place: SQLiteBed | PostgreSQLBed,
        folder: Path,
    ) -> None:
        self.options = options
        self.place = place
        self.chance = random.Random(options.seed)
        self.database = Database(place.url)
        self.workers = Workers(
            folder,
            forked=not options.execute,
            number=options.workers,
            common={"url": place.url, "lease": options.lease, "policy": options.policy},
            chance=self.chance,
        )
        self.sink = Sink(
            folder / "sink", self.workers.orders, chance=self.chance, seconds_per_call=0.004
        )
        self.sink.members = MEMBERS
        self.total = Figures()
        self.scenes: Counter[str] = Counter()
        self.disrupted: list[Worker] = []
        self.started: dict[int, float] = {}

    async def run(self) -> bool:
        """Run all rounds; say whether every promise was kept."""
        began = time.monotonic()
        scenes, changes = cycle(SCENES), cycle(CHANGES)
        trouble = cycle(self.place.trouble)
        async with self.database, self.sink:
            await self.database.create_tables()
            await self.place.prepare(self.database)
            try:
                for number in range(1, self.options.rounds + 1):
                    scene = next(scenes)
                    of_kind = {"change": changes, "trouble": trouble}.get(scene)
                    await self.round(number, scene if of_kind is None else next(of_kind))
                    if len(self.workers.killed) >= self.options.enough:
                        break
            finally:
                await self.workers.close()
        self.report(time.monotonic() - began)
        return not (self.total.complaints or self.workers.failed)

    async def round(self, number: int, scene: str) -> None:
        """Create events, do harm, wait until all are closed, and read the history."""
        self.scenes[scene] += 1
        self.workers.tend()
        self.sink.calls.clear()
        self.disrupted.clear()
        self.started.clear()
        killed_before = len(self.workers.killed)
        expectations = [await self.create(company) for company in (1, 2)]
        harm = asyncio.create_task(self.harm(scene, expectations))
        deadline = time.monotonic() + STUCK
        stuck = False
        while not (harm.done() and await self.closed()):
            self.workers.tend()
            await asyncio.sleep(0.03)
            if time.monotonic() > deadline:
                stuck = True
                break
        if stuck:
            harm.cancel()
        await asyncio.wait([harm])
        self.workers.tend()
        hit = self.workers.killed[killed_before:] + self.disrupted
        figures = await self.insist(
            lambda: check(
                self.database,
                expectations,
                self.sink.calls,
                policy=self.options.policy,
                bound=sum(worker.claim_size for worker in hit),
                started=self.started,
            )
        )
        if stuck:
            figures.complaints.append(f"not closed after {STUCK:.0f} s")
        if not harm.cancelled() and harm.exception() is not None:
            figures.complaints.append(f"the harm failed: {harm.exception()!r}")
        for complaint in figures.complaints:
            print(f"round {number} ({scene}): {complaint}", flush=True)
        self.total.add(figures)
        if number % self.options.every == 0:
            print(
                f"round {number} of {self.options.rounds}: kills {len(self.workers.killed)}, "
                f"recipients {self.total.recipients}, lost {self.total.lost}, "
                f"repeated {self.total.repeated} of {self.total.bound} allowed, "
                f"unstamped {self.total.unstamped}",
                flush=True,
            )

    # Events

    async def create(self, company_id: int) -> Expectation:
        now = datetime.now(UTC)
        start = now + timedelta(minutes=40)
        event = Event(
            id=new_id(),
            company_id=company_id,
            title="Fire drill",
            start=start,
            end=start + timedelta(hours=1),
            countries=("US", "DE"),
            created_at=now,
            updated_at=now,
        )
        await self.insist(lambda: self.database.repository.create(Company(company_id), event))
        return Expectation(company_id, event.id, start, _members("US", "DE"))

    async def change(self, kind: str, expected: Expectation) -> None:
        """Take the push away from under the workers, and note when it was committed."""
        repository = self.database.repository

        async def changed() -> None:
            event = await repository.get(Company(expected.company_id), expected.event_id)
            assert event is not None
            version = event.version + 1
            later = event.start + timedelta(minutes=5)
            match kind:
                case "delete":
                    done: object = await repository.delete(event)
                    expected.recipients, expected.stamped = (), False
                case "off":
                    done = await repository.replace(
                        event, attrs.evolve(event, version=version, active=False)
                    )
                    expected.recipients, expected.stamped = (), False
                case "move":
                    done = await repository.replace(
                        event,
                        attrs.evolve(
                            event, version=version, start=later, end=later + timedelta(hours=1)
                        ),
                    )
                    expected.start = later
                case _:
                    done = await repository.replace(
                        event, attrs.evolve(event, version=version, countries=("DE", "FR"))
                    )
                    expected.recipients, expected.excluded = _members("DE", "FR"), _members("US")
            assert done
            expected.cancelled_at = time.monotonic()
            expected.cancelled_start = event.start

        await self.insist(changed)

    async def to_and_fro(self, expected: Expectation) -> None:
        """Move an event away and back; what was sent for the first start isn't sent again."""
        first = expected.start
        await self.change("move", expected)
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        repository = self.database.repository

        async def back() -> None:
            event = await repository.get(Company(expected.company_id), expected.event_id)
            assert event is not None
            end = first + timedelta(hours=1)
            assert await repository.replace(
                event, attrs.evolve(event, version=event.version + 1, start=first, end=end)
            )
            expected.start, expected.cancelled_at, expected.came_back = first, None, True

        await self.insist(back)

    async def closed(self) -> bool:
        """Whether nothing is left to do for any event."""
        columns = self.database.tables.notifications.c
        left = select(func.count()).where(columns.due_at.is_not(None))

        async def count() -> int:
            async with self.database.reading() as connection:
                number: int = (await connection.execute(left)).scalar_one()
                return number

        return await self.insist(count) == 0

    async def insist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do it, as soon as the database lets us."""
        while True:
            try:
                return await action()
            except StorageUnavailable:
                await asyncio.sleep(0.05)

    # Harm

    async def harm(self, scene: str, expectations: Sequence[Expectation]) -> None:
        """What happens to the workers, the database and the events in a round."""
        if scene == "start":
            await self.start_soon(expectations[0])
        await self.begun()
        await self.disturb(scene, expectations)
        if scene in HARMLESS:
            return
        for _ in range(self.options.kills):
            await asyncio.sleep(self.chance.uniform(0.02, 0.3))
            ready = self.ready()
            if ready:
                self.workers.kill(self.chance.choice(ready))

    async def disturb(self, scene: str, expectations: Sequence[Expectation]) -> None:
        """What happens once, besides the kills."""
        match scene:
            case "deploy":
                await self.deploy()
            case "freeze":
                await self.freeze()
            case "terminate":
                await self.place.terminate()
            case "restart":
                # Whoever holds a claim while the database is away may lose its lease.
                self.disrupted += self.workers.alive
                await self.place.restart()
            case "busy":
                await self.place.busy(0.8)
            case "full":
                self.workers.start(full=True)
            case "to and fro":
                await self.to_and_fro(expectations[0])
            case kind if kind in CHANGES:
                await self.change(kind, expectations[0])

    def ready(self) -> list[Worker]:
        """The workers that live and have their orders."""
        return [w for w in self.workers.alive if w.alive and w.process.pid in self.sink.ready]

    async def begun(self) -> None:
        """Wait for the first calls of the round, but not for ever: somebody may have died."""
        for _ in range(40):
            if len(self.sink.calls) >= self.chance.randint(1, 20):
                return
            await asyncio.sleep(0.05)

    async def start_soon(self, expected: Expectation) -> None:
        """Let the event start while it is being pushed."""

        async def moved() -> None:
            repository = self.database.repository
            event = await repository.get(Company(expected.company_id), expected.event_id)
            assert event is not None
            left = self.chance.uniform(0.3, 1.5)
            start = datetime.now(UTC) + timedelta(seconds=left)
            after = attrs.evolve(
                event, version=event.version + 1, start=start, end=start + timedelta(hours=1)
            )
            self.started[event.id] = time.monotonic() + left
            assert await repository.replace(event, after)
            expected.start, expected.may_expire = start, True

        await self.insist(moved)

    async def freeze(self) -> None:
        """Stop a worker for longer than its lease, and let it go on."""
        ready = self.ready()
        if not ready:
            return
        worker = self.chance.choice(ready)
        self.disrupted.append(worker)
        worker.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.options.lease * 1.5)
        worker.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)

    async def deploy(self) -> None:
        """Let a new worker come and an old one go, side by side for a while."""
        old = next(iter(self.ready()), None)
        new = self.workers.start(point=None)
        for _ in range(200):
            if new.process.pid in self.sink.ready or not new.alive:
                break
            await asyncio.sleep(0.02)
        if old is not None and old.alive:
            await self.workers.stop(old)

    def report(self, seconds: float) -> None:
        """Print the figures."""
        total = self.total
        kills = len(self.workers.killed)
        print()
        for name, value in {
            "database": self.options.database,
            "policy": self.options.policy,
            "seed": self.options.seed,
            "seconds": round(seconds),
            "rounds": sum(self.scenes.values()),
            "scenes": ", ".join(f"{name} {n}" for name, n in sorted(self.scenes.items())),
            "kills": f"{kills}, of them {sum(self.workers.points.values())} at named points",
            "points": ", ".join(f"{name} {n}" for name, n in sorted(self.workers.points.items())),
            "recipients": total.recipients,
            "calls": total.calls,
            "lost": total.lost,
            "repeated": f"{total.repeated}, bound {total.bound}, kept in every round",
            "uncertain": total.uncertain,
            "unstamped": total.unstamped,
            "sends after cancel": total.after_cancel,
            "sends after start": total.after_start,
            "workers that failed": len(self.workers.failed),
            "complaints": len(total.complaints),
        }.items():
            print(f"{name:>20}  {value}")


def _members(*countries: str) -> list[int]:
    return [number for number, country in MEMBERS if country in countries]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proof; 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--enough", type=int, default=sys.maxsize, help="end after the round with this kill"
    )
    parser.add_argument("--policy", choices=("retry", "skip"), default="retry")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--workers", type=int, default=4, help="processes at a time")
    parser.add_argument("--kills", type=int, default=6, help="random kills in a round")
    parser.add_argument("--lease", type=float, default=2.5, help="seconds")
    parser.add_argument("--every", type=int, default=10, help="rounds between lines of progress")
    parser.add_argument(
        "--execute",
        action="store_true",
        help="start workers by their command line instead of forking them, which takes ten times "
        "as long",
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with the log")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="calevents-chaos-"))
    print(f"seed {options.seed}, folder {folder}", flush=True)
    kept = False
    try:
        with bed(options.database, folder) as place:
            kept = asyncio.run(Chaos(options, place, folder).run())
    except (CalendarError, KeyboardInterrupt) as error:
        print(f"ended early: {error!r}", file=sys.stderr)
    if kept and not options.keep:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
