"""Adapters: one module or package per library, named after it, behind an extra of that name."""
