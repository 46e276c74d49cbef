"""Host applications that show calevents at work."""
