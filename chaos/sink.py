"""What records every call, tells workers how to behave, and knows who the recipients are."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Call", "Sink"]


@attrs.frozen
class Call:
    """A call that a worker made."""

    key: str
    company_id: int
    event_id: int
    start: datetime
    recipient_id: int
    asked: float
    """When the worker asked for the claim, by the machine's monotonic clock."""
    at: float
    """When the call arrived, by the same clock."""
    accepted: bool


class Sink:
    """A server on a Unix socket; each line is a question and each line an answer."""

    def __init__(
        self,
        path: Path,
        orders: Callable[[int], Mapping[str, Any]],
        *,
        chance: random.Random,
        seconds_per_call: float,
    ) -> None:
        self._path = path
        self._orders = orders
        self._chance = chance
        self._seconds_per_call = seconds_per_call
        self.calls: list[Call] = []
        self.members: list[tuple[int, str]] = []
        """Every company has the same members: their ids and countries."""
        self.ready: set[int] = set()
        """The processes that have their orders."""

    async def __aenter__(self) -> "Sink":
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, json.JSONDecodeError):
            pass  # the worker died; what it sent whole is recorded
        finally:
            writer.close()

    async def _answer(self, question: dict[str, Any]) -> Any:
        if "pid" in question:
            self.ready.add(question["pid"])
            return dict(self._orders(question["pid"]))
        if "directory" in question:
            return [
                member
                for member in self.members
                if (question["after"] is None or member[0] > question["after"])
                and (not question["countries"] or member[1] in question["countries"])
            ][: question["limit"]]
        accepted = self._chance.random() > 0.05
        self.calls.append(
            Call(
                question["key"],
                question["company"],
                question["event"],
                datetime.fromisoformat(question["start"]),
                question["recipient"],
                question["asked"],
                time.monotonic(),
                accepted,
            )
        )
        await asyncio.sleep(self._chance.uniform(0, 2 * self._seconds_per_call))
        return "accepted" if accepted else "later"
