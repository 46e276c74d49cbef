"""Everything in memory: the reference that other adapters are measured by, and for tests.

Nothing survives the process, and nothing is shared between processes.
"""

from calevents.adapters.memory.directory import MemoryDirectory
from calevents.adapters.memory.ledger import MemoryLedger
from calevents.adapters.memory.repository import MemoryRepository

__all__ = ["MemoryDirectory", "MemoryLedger", "MemoryRepository"]
