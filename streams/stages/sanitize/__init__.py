"""Runs all gates over a complete case."""
