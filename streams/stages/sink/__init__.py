"""Lands every topic in ClickHouse."""
