"""The servers under measure: each in a process of its own, on a free port of 127.0.0.1."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Self

import psutil

__all__ = ["Process", "Server", "asgi_server", "free_port", "wsgi_server"]

_ROOT = Path(__file__).parents[1]
_TIMEOUT = 60.0


class Process:
    """A process and its children. As a context manager it ends with the block."""

    def __init__(
        self, *command: str, environment: Mapping[str, str] | None = None, talks: bool = False
    ) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **(environment or {})},
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is for the harness
        )
        self.processes = psutil.Process(self._process.pid)

    @property
    def log(self) -> str:
        """What it has written."""
        # Not by seeking: the process shares the file's position.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for its end, which must be a good one."""
        if self._process.wait(seconds):
            raise RuntimeError(f"a process failed:\n{self.log[-4000:]}")

    def say(self, line: str) -> None:
        """Give it a line to read; only for one that ``talks``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def wait_for(self, path: Path, seconds: float) -> None:
        """Wait until it has written a file."""
        self._wait_until(path.exists, f"write {path.name}", seconds)

    def _wait_until(self, done: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if not self.running and not done():
                raise RuntimeError(f"a process ended:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"a process doesn't {what}:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """Processor time that it and its children have used."""
        total = 0.0
        for process in (self.processes, *self.processes.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def close(self) -> None:
        """Stop it, with its children."""
        if self.running:
            children = self.processes.children(recursive=True)
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                for process in (*children, self.processes):
                    if process.is_running():
                        process.kill()
                self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Process):
    """A process that listens on a port."""

    def __init__(
        self, port: int, *command: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(*command, environment=environment)
        self.port = port
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            if not self.running:
                raise RuntimeError(f"a server ended at its start:\n{self.log[-4000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"a server doesn't answer:\n{self.log[-4000:]}")


def asgi_server(application: str, **environment: str) -> Server:
    """Serve an application of ``benchmarks.apps`` with uvicorn: one worker, its fast parts."""
    port = free_port()
    return Server(
        port,
        *(sys.executable, "-m", "uvicorn", f"benchmarks.apps.{application}:app"),
        *("--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--no-server-header"),
        environment=environment,
    )


def wsgi_server(application: str, *, threads: int, **environment: str) -> Server:
    """Serve a WSGI application with gunicorn: one worker process, with threads."""
    port = free_port()
    return Server(
        port,
        *(sys.executable, "-m", "gunicorn", f"benchmarks.apps.{application}:app"),
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
        *("--threads", str(threads), "--keep-alive", "60", "--log-level", "warning"),
        environment=environment,
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
