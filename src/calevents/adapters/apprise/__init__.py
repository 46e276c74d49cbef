"""Pushes by Apprise, with hostile addresses, slow hosts and talkative logs in mind.

Needs the ``apprise`` extra.
"""

from calevents.adapters.apprise.addresses import FORBIDDEN_QUERY_KEYS, QUERY_KEYS, SCHEMAS
from calevents.adapters.apprise.notifier import AppriseNotifier

__all__ = ["FORBIDDEN_QUERY_KEYS", "QUERY_KEYS", "SCHEMAS", "AppriseNotifier"]
