"""What every worker shares: process, consumer, dead letters, offsets, metrics, exit codes."""
