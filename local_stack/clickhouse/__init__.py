"""ClickHouse on one machine: the embedded engine behind the HTTP interface of a server."""
