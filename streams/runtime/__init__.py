"""Stages that wait on a network: plain confluent-kafka consumers."""
