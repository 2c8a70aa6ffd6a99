"""Pure steps: one module a stage, no Kafka, no clock, no network."""
