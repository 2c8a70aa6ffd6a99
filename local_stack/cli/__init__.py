"""The commands of the one-machine stack."""
