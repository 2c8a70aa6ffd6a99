"""A small language model that serves the Gemini REST protocol: for trying, tests and CI.

It is a log-linear autoregressive model over some three hundred word-level tokens. It samples token by token,
its log-probabilities are its own, it scores a given text, and a tuning job fits it by gradient steps to the
rows it is given. It knows one job, buying media; it is no language model for anything else.
"""
