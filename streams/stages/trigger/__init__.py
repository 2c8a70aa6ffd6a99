"""Owns the cases: which runs a review needs, and when a case is complete."""
