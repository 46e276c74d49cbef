"""Runs the demo: ``python examples/company_calendar``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a folder, Python looks for modules in it; the package is named from two above.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

    from examples.company_calendar.server import main

    sys.exit(main())
