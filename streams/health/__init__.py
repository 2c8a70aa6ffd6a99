"""Whether the pipeline is well: checks, backlog, probes."""
