"""How the processes tell that they are ready, and that they are done: in files of their own."""

import json
import os
import sys
import time
from pathlib import Path


class Counter:
    """Counts to `EXPECTED`, then writes when that was."""

    def __init__(self) -> None:
        self.left = int(os.environ["EXPECTED"])
        self.path = Path(os.environ["DONE_FILE"])

    def count(self, number: int = 1) -> None:
        """Note that so many recipients were sent to."""
        self.left -= number
        if self.left == 0:
            self.write()

    def working(self) -> None:
        """Tell that the worker takes tasks."""
        self.path.with_suffix(".working").touch()

    def wait_for_word(self) -> None:
        """Tell that everything is imported and connected; return when the measure begins."""
        self.path.with_suffix(".ready").touch()
        sys.stdin.readline()

    def write(self, **more: object) -> None:
        """Tell the harness, by a clock that all processes share; whole or not at all."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"at": time.monotonic(), "left": self.left, **more}))
        part.rename(self.path)
