"""The cases, by name, in the order in which they run."""

from benchmarks.bench import Case
from benchmarks.cases import reading

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        reading.LIST,
        reading.SQLITE,
    )
}
