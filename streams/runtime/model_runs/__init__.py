"""Model runs: in flight, bounded, waiting while the model is unreachable."""
