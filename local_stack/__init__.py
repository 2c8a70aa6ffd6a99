"""What stands in for the outside world on one machine: model, ads platform, expert, production traffic."""
