"""The command line, `opoi`."""
