"""The whole demo, as its users start it."""

import json
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.example.running import COMPANY_EVENTS, DEMO, Demo, run_demo, wait_for
from tests.page import PAGE_EXAMPLE as EXAMPLE

NORTHWIND = "demo-company-67890"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """An empty one."""
    file = tmp_path_factory.mktemp("demo") / "demo.db"
    with Demo(f"sqlite:///{file}", seed=False) as demo:
        yield demo


def test_it_says_where_it_is_and_how_to_call_it(demo: Demo) -> None:
    demo.read_until(r"curl -H 'Authorization: Bearer demo-user-1'")
    for token in ("demo-company-67890", "demo-company-11111", *(f"demo-user-{n}" for n in "1239")):
        assert token in demo.output


def test_it_answers_the_pages_own_example(demo: Demo) -> None:
    response = demo.send("POST", COMPANY_EVENTS, NORTHWIND, json=EXAMPLE)
    assert response.status_code == 201, response.text
    event = response.json()
    assert list(event) == list(EXAMPLE)
    assert response.headers["Location"] == f"{COMPANY_EVENTS}/{event['id']}"
    assert event["status"] == "CONCLUDED"
    assert event["active"] is False
    given = {"id", "images", "status", "active"}
    assert {key: event[key] for key in EXAMPLE if key not in given} == {
        key: EXAMPLE[key] for key in EXAMPLE if key not in given
    }


def test_the_push_reaches_the_members_of_its_countries(demo: Demo) -> None:
    start = datetime.now(UTC) + timedelta(minutes=30)
    document = {
        **EXAMPLE,
        "title": "Launch for the US",
        "start": start.isoformat(),
        "end": (start + timedelta(hours=2)).isoformat(),
    }
    event = demo.create(NORTHWIND, **document)
    assert event["status"] == "STARTING SOON"
    path = f"{COMPANY_EVENTS}/{event['id']}"
    # It is stamped once every recipient is done with, so after that nobody else gets it.
    wait_for(lambda: demo.send("GET", path, NORTHWIND).json()["notification_sent_at"])
    assert [demo.pushes(user_id) for user_id in (1, 3)] == [["Launch for the US"]] * 2
    assert [demo.pushes(user_id) for user_id in (2, 9)] == [[], []]


def test_the_page_and_its_parts_are_served_safely(demo: Demo) -> None:
    page = demo.client.get("/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in ("/pages/main.js", "/pages/page.css", "/pages/images/icon.svg", "/viewers"):
        response = demo.client.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Security-Policy"] == policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/pages/../settings.py", "/pages/%2e%2e/settings.py", "/nothing", "/docs"):
        assert demo.client.get(path).status_code == 404


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = run_demo(PORT=port, DATABASE_URL="sqlite://", SEED="0")
    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert port in line
    assert "in use" in line


def test_a_database_that_cant_be_reached_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    ended = run_demo(PORT="0", DATABASE_URL=f"postgresql://u:secret@127.0.0.1:{port}/d", SEED="0")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "DATABASE_URL" in line
    assert "secret" not in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_asked_to(number: signal.Signals, tmp_path: Path) -> None:
    with Demo(f"sqlite:///{tmp_path / 'demo.db'}", seed=True) as demo:
        # In the middle of filling itself.
        assert demo.stop(number) == 0
        assert demo.process.stdout is not None
        assert "Traceback" not in demo.output + demo.process.stdout.read()


def test_a_fresh_start_fills_it_and_pushes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    with Demo(url, seed=True) as demo:
        demo.read_until("The calendar is filled")
        events = demo.events(NORTHWIND)
        [launch] = [event for event in events if event["title"] == "Winter collection launch"]
        path = f"{COMPANY_EVENTS}/{launch['id']}"
        wait_for(lambda: demo.send("GET", path, NORTHWIND).json()["notification_sent_at"])
        assert [demo.pushes(user_id) for user_id in (1, 2, 3, 9)] == [
            [launch["title"]],
            [],
            [launch["title"]],
            [],
        ]
        statuses = {event["status"] for event in demo.events("demo-user-1")}
        assert statuses == {None, "STARTING SOON", "IN PROGRESS", "CONCLUDED"}
        assert len({tuple(event["countries"]) for event in events}) > 10
    with Demo(url, seed=True) as demo:
        demo.read_until("The calendar is filled")
        assert {event["id"] for event in demo.events(NORTHWIND)} == {
            event["id"] for event in events
        }
        assert launch["title"] in demo.pushes(1)


def test_it_runs_on_postgresql(postgres_url: str) -> None:
    url = postgres_url.replace("postgresql+asyncpg://", "postgresql://")
    with Demo(url, seed=False) as demo:
        start = datetime.now(UTC) + timedelta(minutes=30)
        end = start + timedelta(hours=1)
        demo.create(NORTHWIND, title="Soon", start=start.isoformat(), end=end.isoformat())
        wait_for(lambda: demo.pushes(2))
        assert demo.pushes(9) == []


def test_the_front_end_comes_from_its_lock() -> None:
    lock = json.loads((DEMO / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/fullcalendar"]["integrity"].startswith("sha512-")
    assert "http" not in json.dumps(
        [package.get("resolved") for package in lock["packages"].values()]
    )
