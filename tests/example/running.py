"""The demo host in a process of its own, as ``make demo`` runs it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "company_calendar"
COMPANY_EVENTS = "/api/company/crm/v202506/events"
USER_EVENTS = "/api/user/crm/v202506/events"

_PATIENCE = 60.0


def run_demo(**environment: str) -> "subprocess.CompletedProcess[str]":
    """The demo, where it is to end by itself."""
    return subprocess.run(
        [sys.executable, str(DEMO)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


class Demo:
    """A demo that serves, on a free port; a context manager that stops it."""

    def __init__(self, database_url: str, *, seed: bool) -> None:
        environment = {"PORT": "0", "DATABASE_URL": database_url, "SEED": str(int(seed))}
        self.process = subprocess.Popen(
            [sys.executable, str(DEMO)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        found = self.read_until(r"is at (http://127\.0\.0\.1:\d+)/")
        self.address = found[1]
        self.client = httpx2.Client(base_url=self.address, trust_env=False)
        # It says where it is just before it accepts the first request.
        wait_for(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def read_until(self, pattern: str) -> "re.Match[str]":
        """Read the output up to a line that matches."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(_PATIENCE, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.output += line
                assert "could not be filled" not in line, line
                found = re.search(pattern, line)
                if found is not None:
                    return found
        finally:
            watchdog.cancel()
        raise AssertionError(f"the demo ended without {pattern!r}:\n{self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; the exit status. One that doesn't end in time is killed."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def send(
        self,
        method: str,
        path: str,
        token: str | None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        """A request as whoever has this token."""
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        return self.client.request(method, path, headers=given, **options)

    def events(self, token: str, **parameters: str) -> list[dict[str, Any]]:
        """Every event of a list, page by page."""
        path = COMPANY_EVENTS if "company" in token else USER_EVENTS
        events: list[dict[str, Any]] = []
        parameters = {"limit": "100", "view": "all", **parameters}
        while True:
            response = self.send("GET", path, token, params=parameters)
            assert response.status_code == 200, response.text
            page = response.json()
            events += page["events"]
            if page["meta"]["next_cursor"] is None:
                return events
            parameters["cursor"] = page["meta"]["next_cursor"]

    def create(self, token: str, **fields: Any) -> dict[str, Any]:
        """A new event."""
        path = COMPANY_EVENTS if "company" in token else USER_EVENTS
        response = self.send("POST", path, token, json=fields)
        assert response.status_code == 201, response.text
        event: dict[str, Any] = response.json()
        return event

    def pushes(self, user_id: int) -> list[str]:
        """The titles in a member's inbox, the latest first."""
        response = self.send("GET", "/inbox", f"demo-user-{user_id}")
        assert response.status_code == 200, response.text
        return [push["title"] for push in response.json()["pushes"]]

    def _answers(self) -> bool:
        try:
            return self.client.get("/viewers").is_success
        except httpx2.ConnectError:
            return False


def wait_for(condition: Callable[[], Any]) -> Any:
    """Ask again until the answer is true, and give it; that it stays false ends the test."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not become true in time")
