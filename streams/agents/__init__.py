"""Agents that the pipeline knows: their registration and their texts."""
