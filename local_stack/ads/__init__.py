"""A local server that speaks the part of Meta's Marketing API that the media buyer uses.

It answers from a seeded, simulated world: for trials, tests and CI. Its figures describe no real account.
"""
