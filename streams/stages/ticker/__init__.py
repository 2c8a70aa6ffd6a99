"""The clock of the keyed stages."""
