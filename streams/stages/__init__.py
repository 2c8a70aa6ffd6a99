"""The stages: one folder each, a pure step and the worker around it."""
