"""The outside world on one machine: Kafka, registry, ClickHouse, model, ads platform, expert, traffic."""
