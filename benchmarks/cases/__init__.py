"""The cases, by name, in the order in which they run."""

from benchmarks.bench import Case
from benchmarks.cases import due, fanout, growth, inprocess, reading, writing

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        reading.LIST,
        reading.SQLITE,
        writing.WRITE,
        growth.GROWTH,
        due.DUE,
        fanout.FANOUT,
        fanout.WORKERS,
        inprocess.IMPORT,
        inprocess.STATUS,
        inprocess.TIME_ZONE,
    )
}
