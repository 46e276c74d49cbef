"""The worker process: ``python -m calevents dispatch``."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from calevents.__main__ import main

HOST = """
from contextlib import asynccontextmanager

from calevents.adapters.memory import MemoryDirectory, MemoryLedger, MemoryRepository
from calevents.dispatcher import Dispatcher
from calevents.testing import RecordingNotifier

def made():
    ledger = MemoryLedger(MemoryRepository())
    return Dispatcher(ledger, MemoryDirectory({}), RecordingNotifier(), hook=hook)

def hook(details):
    pass

@asynccontextmanager
async def entered():
    print("entered", flush=True)
    yield made()
    print("left", flush=True)

dispatcher = made()
something = 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "host.py").write_text(HOST)
    return tmp_path


def start(folder: Path, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "calevents", "dispatch", f"host:{name}", "--log-level", "DEBUG"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(folder: Path, number: signal.Signals) -> None:
    process = start(folder, "entered")
    assert process.stdout is not None
    assert process.stdout.readline() == "entered\n"
    assert process.stderr is not None
    assert process.stderr.readline()
    assert "working" in process.stderr.readline()
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said == "left\n"
    assert process.returncode == 0


def test_a_signal_during_the_set_up_is_kept(folder: Path) -> None:
    process = start(folder, "entered")
    assert process.stdout is not None
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert said == "left\n"
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["dispatcher", "made"])
def test_a_dispatcher_or_a_function_will_do(folder: Path, name: str) -> None:
    process = start(folder, name)
    assert process.stderr is not None
    assert process.stderr.readline()
    assert "working" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("specification", "complaint"),
    [
        ("host", "must have the form package.module:name"),
        (":made", "must have the form"),
        ("nowhere.at_all:made", "there is no module 'nowhere.at_all'"),
        ("host:nothing", "'host' has no 'nothing'"),
        ("host:something", "is int; it must be a Dispatcher"),
    ],
)
def test_a_bad_specification_is_explained(
    folder: Path,
    specification: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "host", raising=False)
    assert main(["dispatch", specification]) == 2
    assert complaint in capsys.readouterr().err
    sys.modules.pop("host", None)
