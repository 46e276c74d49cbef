"""Reads recipients' addresses, which are Apprise URLs, as hostile input.

An Apprise URL is a program: it names the plugin, files to read, time-outs, retries, redirects and
what counts as success. Here it may name a plugin of the allow-list, a target, and query keys of
the other allow-list.
"""

import re
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs
from apprise import Apprise, AppriseAsset, NotificationManager, NotifyBase
from apprise.plugins import url_to_dict

from calevents.adapters.apprise.quiet import quiet, redact

__all__ = ["FORBIDDEN_QUERY_KEYS", "QUERY_KEYS", "SCHEMAS", "AddressRefused", "Addresses", "Target"]

SCHEMAS = frozenset(
    {
        "gotify",
        "gotifys",
        "json",
        "jsons",
        "ntfy",
        "ntfys",
        "pbul",
        "pover",
        "prowl",
        "pushy",
    }
)
"""Push services, and a webhook, that speak plain HTTP and read no file."""

QUERY_KEYS = frozenset({"image", "priority", "sound"})
"""How a push looks and sounds, and nothing else."""

FORBIDDEN_QUERY_KEYS = frozenset(
    {
        "attach",  # fetches or reads what it names
        "cto",  # the deadline is the notifier's
        "keyfile",  # a file
        "optional",  # a failure would count as a success
        "overflow",  # one push could become many
        "redirect",  # to where nobody has allowed
        "retry",  # the ledger retries
        "rto",
        "store",  # writes to disk
        "subfile",
        "tag",
        "template",
        "wait",
    }
)
"""Keys that would break a promise of the notifier's; no allow-list may have them."""

_load_plugins: Callable[[], Any] = NotificationManager
_parse: Callable[[str], dict[str, Any] | None] = url_to_dict

_LONGEST = 2048
_PRINTABLE = re.compile(r"[!-~]*")
_SCHEMA = re.compile(r"([A-Za-z][A-Za-z0-9]*)://")


class AddressRefused(Exception):
    """An address can't be used, ever; the text says why, without a word of the address."""


@attrs.frozen
class Target:
    """An address that may be called."""

    plugin: NotifyBase = attrs.field(repr=False)
    host: tuple[str, ...] = attrs.field(repr=False)
    """What fails together: the schema, with the host and port where the address names one."""
    name: str
    """For logs."""
    host_name: str
    """The host's, for logs."""


class Addresses:
    """The rules that every address is read by.

    Raises:
        ValueError: a schema that Apprise doesn't have, or a query key that is forbidden.
    """

    def __init__(
        self, *, schemas: Collection[str], query_keys: Collection[str], app_id: str
    ) -> None:
        self._schemas = frozenset(schema.lower() for schema in schemas)
        self._query_keys = frozenset(key.lower() for key in query_keys)
        forbidden = self._query_keys & FORBIDDEN_QUERY_KEYS
        if forbidden:
            raise ValueError(f"query_keys must not have {', '.join(sorted(forbidden))}")
        # Loads every plugin, which takes half a second (better here than in the event loop) and
        # may warn of what they import; no host can mend that, and some make errors of warnings.
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._plugins = _load_plugins()
            known = {schema for schema in self._schemas if schema in self._plugins}
        unknown = self._schemas - known
        if unknown:
            raise ValueError(f"schemas: Apprise has no {', '.join(sorted(unknown))} here")
        self.asset = AppriseAsset(
            app_id=app_id,
            app_desc=app_id,
            app_url="",
            async_mode=False,
            default_service_retry=0,
            http_redirects=False,
            image_url_logo="",
            image_url_mask="",
            interpret_emojis=False,
            interpret_escapes=False,
            pem_autogen=False,
            pgp_autogen=False,
            secure_logging=True,
            allow_templates=False,
            service_timeout=0,
            storage_mode="memory",
        )

    def read(
        self, address: str | None, headers: Mapping[str, str], fields: Mapping[str, str]
    ) -> Target:
        """Judge an address; ``headers`` and ``fields`` go along if its plugin can carry them.

        Raises:
            AddressRefused: it breaks a rule.
        """
        if address is None:
            raise AddressRefused("the recipient has no address on this channel")
        if len(address) > _LONGEST or not _PRINTABLE.fullmatch(address):
            raise AddressRefused(
                f"the address is longer than {_LONGEST} characters, or has some that no URL has"
            )
        match = _SCHEMA.match(address)
        # Before Apprise sees it: a schema that it doesn't know it offers to every plugin.
        if match is None or match[1].lower() not in self._schemas:
            raise AddressRefused("the address's schema is not one of the notifier's schemas")
        schema = match[1].lower()
        with quiet():
            parsed = _parse(address)
            if not parsed or parsed.get("schema") != schema:
                raise AddressRefused(f"the address is not one of {schema}://")
            self._check_query(parsed)
            carries = self._plugins[schema].template_kwargs
            if "headers" in carries:
                parsed["headers"] = _merged(parsed.get("headers"), headers)
                # A webhook's user without a password gives requests cause for a warning.
                if parsed.get("user") and parsed.get("password") is None:
                    parsed["password"] = ""
            if "payload" in carries:
                parsed["payload"] = _merged(parsed.get("payload"), fields)
            plugin = self._instance(parsed)
        if "host" in plugin.template_tokens:
            host: tuple[str, ...] = (schema, str(plugin.host).lower(), str(plugin.port or ""))
        else:
            # The provider's host is the plugin's own; in its place stands a token.
            host = (schema,)
        return Target(
            plugin=plugin,
            host=host,
            name=redact(schema, address),
            host_name=redact(schema, " ".join(host)),
        )

    def _check_query(self, parsed: Mapping[str, Any]) -> None:
        # Apprise's own reading of the query: any other might see other keys. Keys with a prefix
        # (+header, :field, -parameter) are in it too, all of them in lower case.
        keys = parsed.get("qsd")
        if keys is None:
            raise AddressRefused("the address's query can't be checked")
        if not self._query_keys.issuperset(keys):
            raise AddressRefused("the address has a query key that is not in query_keys")

    def _instance(self, parsed: dict[str, Any]) -> NotifyBase:
        plugin = Apprise.instantiate(parsed, asset=self.asset)
        if plugin is None:
            raise AddressRefused("Apprise refuses the address")
        if len(plugin) != 1:
            # One outcome is reported: it can't be that of several.
            raise AddressRefused("the address must name one target")
        if plugin.port is not None and not 0 < plugin.port < 65_536:
            raise AddressRefused("the address's port is none")
        # By whatever way it got there.
        if plugin.optional or plugin.retry or plugin.redirects or not plugin.verify_certificate:
            raise AddressRefused("the address changes what the notifier relies on")
        return plugin


def _merged(theirs: Mapping[str, str] | None, ours: Mapping[str, str]) -> dict[str, str]:
    names = {name.lower() for name in ours}
    kept = {name: value for name, value in (theirs or {}).items() if name.lower() not in names}
    return {**kept, **ours}
