"""What the cases share: the databases, the progress bar, and how two things are compared."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

import attrs
from rich.progress import Progress, TaskID

from benchmarks import data
from tests.postgres import ExternalPostgres, Postgres, PostgresServer

__all__ = ["Bench", "Case", "Comparison", "Curve", "Measured", "Outcome", "alone", "rates"]

URL_VARIABLE = "BENCH_POSTGRES_URL"
CALEVENTS = "calevents"
_FAR = 2.0


@attrs.frozen(kw_only=True)
class Measured:
    """One quantity of one subject, over the rounds of a run."""

    subject: str
    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a part of the median."""
        if len(self.values) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (high - low) / 2 / self.median if self.median else 0.0

    @property
    def astray(self) -> Sequence[float]:
        """Rounds that the median doesn't speak for. Percentiles are left out: they always vary."""
        if "percentile" in self.unit:
            return []
        return [v for v in self.values if not self.median / _FAR <= v <= self.median * _FAR]


@attrs.frozen(kw_only=True)
class Comparison:
    """calevents beside something else: a line of the table."""

    case: str
    against: str
    """What it is compared with."""
    ours: float
    theirs: float | None
    """None where the goal is a figure by itself."""
    unit: str
    ratio: float
    """What the goal is for."""
    goal: float | None = None
    """None for a line that is there to know."""
    at_least: bool = True
    """Whether the ratio is to be at least the goal; otherwise at most."""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


@attrs.frozen(kw_only=True)
class Curve:
    """A quantity that follows another, for a picture."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@attrs.frozen(kw_only=True)
class Outcome:
    """What a case found."""

    comparisons: Sequence[Comparison]
    measured: Sequence[Measured] = ()
    curves: Sequence[Curve] = ()
    skipped: Sequence[str] = ()
    """What could not be measured, and why."""
    settings: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Case:
    """Something to measure by name."""

    name: str
    title: str
    run: Callable[["Bench"], Outcome]


class Bench:
    """One run: its scale and its rounds, and the databases that its cases share.

    Args:
        scale: the part of the data and of the recipients that is taken; 1 for the real thing.
        rounds: how often the subjects take turns.
        seconds: how long a turn takes.
    """

    def __init__(self, progress: Progress, *, scale: float, rounds: int, seconds: float) -> None:
        self.progress = progress
        self.scale = scale
        self.rounds = rounds
        self.seconds = seconds
        self._resources = ExitStack()
        self._postgresql: dict[int, str] = {}
        self._sqlite: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def scaled(self, count: int) -> int:
        """``count`` events in this run's scale: whole hundreds, and not too few."""
        return max(round(count * self.scale / data.COMPANIES) * data.COMPANIES, data.SMALLEST)

    @cached_property
    def postgres(self) -> Postgres:
        """A server of the run's own that is as durable as PostgreSQL is by default.

        ``BENCH_POSTGRES_URL`` names one that runs already.
        """
        if url := os.environ.get(URL_VARIABLE):
            return self._resources.enter_context(ExternalPostgres(url))
        with self.task("starting PostgreSQL"):
            server = PostgresServer(
                fsync=True,
                settings={
                    "shared_buffers": "1GB",
                    "max_wal_size": "8GB",
                    "checkpoint_timeout": "30min",
                    "autovacuum": "on",
                },
            )
            return self._resources.enter_context(server)

    @property
    def postgres_version(self) -> str | None:
        """The server's version, if the run has come to need one."""
        if "postgres" not in self.__dict__:
            return None
        return data.server_version(self.postgres.create_database())

    @cached_property
    def folder(self) -> Path:
        """A folder that ends with the run."""
        name = tempfile.TemporaryDirectory(prefix="calevents-bench-")
        return Path(self._resources.enter_context(name))

    def postgresql_events(self, count: int) -> str:
        """The URL of a PostgreSQL database with so many events; made once in a run."""
        if count not in self._postgresql:
            url = self.postgres.create_database()
            with self.task(f"loading {count:,} events into PostgreSQL", count) as advance:
                data.load_postgresql(url, count, advance)
            self._postgresql[count] = url
        return self._postgresql[count]

    def sqlite_events(self, count: int) -> str:
        """The URL of a SQLite database with so many events; made once in a run."""
        if count not in self._sqlite:
            path = self.folder / f"events-{count}.db"
            with self.task(f"loading {count:,} events into SQLite", count) as advance:
                data.load_sqlite(path, count, advance)
            self._sqlite[count] = f"sqlite+aiosqlite:///{path}"
        return self._sqlite[count]

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a step; what it gives is called with what is done since."""
        if not self.progress.console.is_terminal:
            self.progress.console.print(f"{time.strftime('%H:%M:%S')} {title}")
        task: TaskID = self.progress.add_task(title, total=total)
        try:
            yield lambda done: self.progress.advance(task, done)
        finally:
            self.progress.remove_task(task)

    def turns(self, title: str, subjects: Sequence[str]) -> Iterator[str]:
        """The subjects in turn, round after round, each round in another order."""
        with self.task(title, self.rounds * len(subjects)) as advance:
            for number in range(self.rounds):
                shift = number % len(subjects)
                order = [*subjects[shift:], *subjects[:shift]]
                for subject in order if number % 2 == 0 else reversed(order):
                    yield subject
                    advance(1)


def rates(
    case: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    against: str,
    unit: str,
    goal: float | None,
    note: str = "",
) -> Comparison:
    """Compare two rates of the same rounds: the ratio is the median of the rounds' ratios."""
    return Comparison(
        case=case,
        against=against,
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        unit=unit,
        ratio=statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        goal=goal,
        note=note,
    )


def alone(case: str, value: float, *, unit: str, goal: float, at_least: bool) -> Comparison:
    """A figure that has its goal in itself."""
    return Comparison(
        case=case,
        against="",
        ours=value,
        theirs=None,
        unit=unit,
        ratio=value,
        goal=goal,
        at_least=at_least,
    )
