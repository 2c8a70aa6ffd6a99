"""Echoes decisions."""
