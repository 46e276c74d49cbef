"""A small host application: it owns its members, and calevents is their calendar."""
