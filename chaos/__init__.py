"""The long proof of the dispatcher's promises: ``make chaos``. See ``docs/promises.md``."""
