"""Agents over HTTP: the contract, opoi's side of it, a reference implementation, the check."""
