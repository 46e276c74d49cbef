"""The tests of calevents."""
