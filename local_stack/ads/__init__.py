"""A local server that speaks the part of Meta's Marketing API that the media buyer uses.

It answers from a seeded, simulated world: for trying opoi, for tests and for CI. Nothing it says is true
of any real account.
"""
