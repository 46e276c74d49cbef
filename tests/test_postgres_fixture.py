"""The PostgreSQL of the tests: what it keeps, and that nothing of it stays behind."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import TIMEOUT, Postgres, PostgresError, PostgresServer, dsn


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def _run(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn(url))
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_each_database_is_empty_and_its_own(postgres: Postgres) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    await _run(first, "CREATE TABLE only_here (id int)")
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'only_here'"
    assert await _run(first, tables) == [(1,)]
    assert await _run(second, tables) == [(0,)]


@pytest.mark.parametrize("immediate", [True, False])
async def test_a_restart_keeps_port_and_committed_rows(
    server: PostgresServer, immediate: bool
) -> None:
    url, port = server.create_database(), server.port
    await _run(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")

    server.stop(immediate=immediate)

    assert not server.running
    with pytest.raises(OSError, match="Connect call failed"):
        await _run(url, "SELECT 1")

    server.start()

    assert server.port == port
    assert await _run(url, "SELECT count(*) FROM kept") == [(1000,)]


async def test_it_recovers_from_sigkill(server: PostgresServer) -> None:
    url = server.create_database()
    await _run(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    pid = int((server._data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert server._process is not None
    server._process.wait()

    server.start()

    assert await _run(url, "SELECT count(*) FROM kept") == [(1000,)]


def test_starting_twice_is_an_error(server: PostgresServer) -> None:
    with pytest.raises(PostgresError, match="running already"):
        server.start()
    assert server.running


async def test_fsync_and_settings_reach_the_server() -> None:
    with PostgresServer(fsync=True, settings={"work_mem": "7MB"}) as server:
        assert await _run(server.url(), "SHOW fsync") == [("on",)]
        assert await _run(server.url(), "SHOW work_mem") == [("7MB",)]


async def test_a_setting_that_the_server_refuses_is_reported_with_its_log() -> None:
    with (
        pytest.raises(PostgresError, match="work_mem"),
        PostgresServer(settings={"work_mem": "much"}),
    ):
        pass


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can wait for strangers")
def test_no_server_outlives_a_killed_test_run() -> None:
    script = (
        "import sys\n"
        "from tests.postgres import PostgresServer\n"
        "server = PostgresServer()\n"
        "server.start()\n"
        "print(server._process.pid, server._watchdog.pid, server._folder, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        postmaster, watchdog, folder = run.stdout.readline().split()
        ends = [os.pidfd_open(int(postmaster)), os.pidfd_open(int(watchdog))]
        run.kill()

    try:
        for end in ends:
            assert select.select([end], [], [], TIMEOUT)[0], "still running"
    finally:
        for end in ends:
            os.close(end)
    assert not Path(folder).exists()
