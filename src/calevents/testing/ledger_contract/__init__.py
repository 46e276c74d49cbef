"""What every :class:`~calevents.ports.NotificationLedger` must do."""

from calevents.testing.ledger_contract.claims import ClaimsContract
from calevents.testing.ledger_contract.due import DueContract
from calevents.testing.ledger_contract.ends import EndsContract
from calevents.testing.ledger_contract.recipients import RecipientsContract
from calevents.testing.ledger_contract.scene import LedgerStorage
from calevents.testing.ledger_contract.upkeep import UpkeepContract

__all__ = ["LedgerStorage", "NotificationLedgerContract"]


class NotificationLedgerContract(
    DueContract, RecipientsContract, ClaimsContract, EndsContract, UpkeepContract
):
    """Subclass it, and override the fixture ``storage``.

    The event of most tests starts at noon, and the clock stands half an hour before.
    """
