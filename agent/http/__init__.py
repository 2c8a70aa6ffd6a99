"""Agents of one's own: the HTTP contract, opoi's side of it, a reference implementation, the check."""
