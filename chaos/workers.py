"""Worker processes: started, killed, frozen, stopped, and counted."""

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from calevents.__main__ import main
from chaos.worker import POINTS

__all__ = ["Worker", "Workers"]

CLAIM_SIZES = (3, 5, 8)
CLOCKS = (3_600.0, -3_600.0, 86_400.0, -86_400.0)


_COMMAND = ("dispatch", "chaos.worker:dispatcher", "--log-level", "WARNING")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["chaos.worker", "calevents.worker", "aiosqlite", "asyncpg"])


def _executed(folder: Path) -> "subprocess.Popen[bytes]":
    """A worker started by its command line."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "calevents", *_COMMAND],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=log,
            stderr=log,
        )


class _Forked:
    """A worker forked from a process that has imported everything: ten times as quick to start.

    Has what is used here of :class:`subprocess.Popen`.
    """

    def __init__(self, folder: Path) -> None:
        self._process = _forks.Process(target=_forked, args=(str(folder),))
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        if self._process.is_alive():
            raise subprocess.TimeoutExpired(_COMMAND, timeout or 0.0)
        return self._process.exitcode


def _forked(folder: str) -> None:
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.exit(main(_COMMAND))


@attrs.define(eq=False)
class Worker:
    """One process, and how it was told to behave."""

    process: "subprocess.Popen[bytes] | _Forked"
    orders: dict[str, Any]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def claim_size(self) -> int:
        size: int = self.orders["claim_size"]
        return size


class Workers:
    """So many worker processes at a time; whatever dies is replaced."""

    def __init__(
        self,
        folder: Path,
        *,
        forked: bool,
        number: int,
        common: Mapping[str, Any],
        chance: random.Random,
    ) -> None:
        self._folder = folder
        self._forked = forked
        self._number = number
        self._common = dict(common)
        self._chance = chance
        self._points = 0
        self._orders: dict[int, dict[str, Any]] = {}
        self.alive: list[Worker] = []
        self.killed: list[Worker] = []
        """Those that SIGKILL ended, whoever sent it."""
        self.points: dict[str, int] = {}
        """How many died at each named point."""
        self.failed: list[int] = []
        """Exit statuses that nobody asked for."""

    def orders(self, pid: int) -> Mapping[str, Any]:
        """What the process with this id is told."""
        return self._orders[pid]

    def start(self, **orders: Any) -> Worker:
        """Start one more, with some of its orders given and the others drawn."""
        point = None
        if self._chance.random() < 0.6:
            # In turn, so that each has its share.
            point = POINTS[self._points % len(POINTS)]
            self._points += 1
        drawn = {
            "claim_size": self._chance.choice(CLAIM_SIZES),
            "clock": self._chance.choice(CLOCKS) if self._chance.random() < 0.3 else 0.0,
            "full": False,
            "point": point,
            "passes": self._chance.choice((1, 1, 2, 5)),
        }
        process = _Forked(self._folder) if self._forked else _executed(self._folder)
        worker = Worker(process, self._common | drawn | orders)
        self._orders[process.pid] = worker.orders
        self.alive.append(worker)
        return worker

    def tend(self) -> None:
        """Count the dead, and replace them."""
        for worker in [worker for worker in self.alive if not worker.alive]:
            self.alive.remove(worker)
            status = worker.process.returncode
            if status == -signal.SIGKILL:
                self.killed.append(worker)
                point = worker.orders["point"] if worker.orders.get("chosen") is None else None
                if point is not None:
                    self.points[point] = self.points.get(point, 0) + 1
            elif status:
                self.failed.append(status)
        while len(self.alive) < self._number:
            self.start()

    def kill(self, worker: Worker) -> None:
        """End it where it stands."""
        if worker.alive:
            worker.orders["chosen"] = "kill"
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()

    async def stop(self, worker: Worker) -> None:
        """Ask it to end, and wait until it has."""
        worker.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.process.wait)

    async def close(self) -> None:
        """Stop them all; none may need to be killed."""
        for worker in self.alive:
            if worker.alive:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.send_signal(signal.SIGTERM)
        for worker in self.alive:
            try:
                await asyncio.to_thread(worker.process.wait, 60)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
                self.failed.append(-signal.SIGTERM)
