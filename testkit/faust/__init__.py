"""Stages on Faust that are killed, frozen and rebalanced on purpose."""
