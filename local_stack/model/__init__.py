"""A small language model that serves the Gemini REST protocol: for trials, tests and CI.

It is a log-linear autoregressive model over some three hundred word-level tokens. It samples token by token,
reports its own log-probabilities and scores a given text; a tuning job fits it by gradient steps to the given
rows. It knows one job, buying media, and nothing else.
"""
