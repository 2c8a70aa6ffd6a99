"""Upgrades of released versions in place: a stack is filled, upgraded, drained and compared."""
