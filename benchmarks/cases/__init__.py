"""The cases, by name, in the order in which they run."""

from benchmarks.bench import Case
from benchmarks.cases import due, growth, inprocess, reading

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        reading.LIST,
        reading.SQLITE,
        growth.GROWTH,
        due.DUE,
        inprocess.IMPORT,
        inprocess.STATUS,
        inprocess.TIME_ZONE,
    )
}
