"""Runs that wait on a model: in flight, bounded, stopped while the model is away."""
