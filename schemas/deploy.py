"""Deploys schemas to the registry and topics to the broker: the public functions."""

from schemas.deploy_schemas import (
    SchemaResult,
    apply_schemas,
    check_registered,
    check_schemas,
    schema_faults,
)
from schemas.deploy_topics import (
    COMMON_PARTITIONS,
    TopicResult,
    apply_topics,
    check_topics,
    partitions_of,
    topic_faults,
)
from schemas.deployment import Fault, Report, WireSettings

__all__ = [
    "COMMON_PARTITIONS",
    "Fault",
    "Report",
    "SchemaResult",
    "TopicResult",
    "WireSettings",
    "apply_schemas",
    "apply_topics",
    "check_registered",
    "check_schemas",
    "check_topics",
    "partitions_of",
    "schema_faults",
    "topic_faults",
]
