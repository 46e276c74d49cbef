"""The v202506 endpoints as an ASGI application, to run alone or mounted in a host's."""

from calevents.adapters.starlette.app import Authenticate, create_app

__all__ = ["Authenticate", "create_app"]
