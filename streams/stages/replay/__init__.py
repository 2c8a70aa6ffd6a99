"""Replays decisions with the real agent."""
