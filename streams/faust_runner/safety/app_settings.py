"""The settings of Faust that matter: each prevents a measured loss."""

from pathlib import Path
from typing import Any

from schemas.catalog import client_message_bytes
from streams.faust_runner.safety.tables import PromptTableManager

MIB = 1024 * 1024

SESSION_SECONDS = 10.0
"""Without a heartbeat for so long, the group gives a worker's partitions to others."""
LEASE_SECONDS = 0.8 * SESSION_SECONDS
"""Without an answered heartbeat for so long, a worker no longer writes."""
LINGER_SECONDS = 0.02
"""Records of so long are sent together; fewer requests cost broker and worker less."""
NEVER_SECONDS = 10 * 365 * 86_400.0
BUFFERED_EVENTS = 1024
"""Fetched events that wait in memory; decisions are large."""


def app_options(folder: Path, instance: str | None) -> dict[str, Any]:
    """Keyword arguments of `faust.App`; `instance` keeps a worker's partitions over a restart."""
    return {
        # topics are made by `opoi topics apply`; Faust would make them with its own counts
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "autodiscover": False,
        "web_enabled": False,
        "datadir": str(folder),
        "store": "rocksdb://",
        # each start, and so each recovery from a crash, is a second shorter
        "TableManager": PromptTableManager,
        "processing_guarantee": "at_least_once",
        # with a single standby Faust keeps a second copy by reading the changelog all day
        "table_standby_replicas": 0,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": BUFFERED_EVENTS,
        "broker_session_timeout": SESSION_SECONDS,
        "broker_heartbeat_interval": SESSION_SECONDS / 3,
        "broker_commit_interval": 1.0,
        # Faust's own warnings about hanging streams are wrong for a changelog, which no stream reads; our
        # watchdog checks instead
        "stream_processing_timeout": NEVER_SECONDS,
        "broker_commit_livelock_soft_timeout": NEVER_SECONDS,
        "broker_max_poll_records": 500,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": MIB,
        "consumer_group_instance_id": instance,
        "producer_acks": -1,
        "producer_linger": LINGER_SECONDS,
        "producer_max_batch_size": 256 * 1024,
        "producer_max_request_size": client_message_bytes(),
        "producer_compression_type": "lz4",
    }


def table_options() -> dict[str, Any]:
    """RocksDB options of one partition of a table; Faust's own are gigabytes for each."""
    return {
        "driver": "rocksdict",
        "write_buffer_size": 8 * MIB,
        "max_write_buffer_number": 2,
        "block_cache_size": 16 * MIB,
        "max_open_files": 64,
    }
