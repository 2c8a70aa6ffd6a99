"""Joins decisions with verdicts."""
