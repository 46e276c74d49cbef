"""Events and deliveries in a SQL database, through SQLAlchemy Core and an async driver.

SQLite (aiosqlite) is the embedded default, PostgreSQL (asyncpg) the one for more than one machine.
"""

from calevents.adapters.sqlalchemy.database import Database
from calevents.adapters.sqlalchemy.directory import SelectDirectory
from calevents.adapters.sqlalchemy.ledger import SQLAlchemyLedger
from calevents.adapters.sqlalchemy.repository import SQLAlchemyRepository

__all__ = ["Database", "SQLAlchemyLedger", "SQLAlchemyRepository", "SelectDirectory"]
