"""Environment variables of each process of a stack."""

from collections.abc import Mapping
from functools import cache

from schemas.child_environment import SYSTEM, settings_of
from schemas.stages import stages

STACK = (*SYSTEM, "OPOI_HOME", "OPOI_STACK", "PYTHONUNBUFFERED")
# a remote broker, registry or model may be behind a proxy, or have a certificate of the company
NETWORK = ("*_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
WORKER = (
    *STACK,
    *NETWORK,
    *settings_of("KAFKA", "REGISTRY", "PIPELINE", "WORKER", "METRICS", "LOG", "LOCAL"),
    "OPOI_UNSAFE_FAUST",
)


@cache
def environments() -> Mapping[str, tuple[str, ...]]:
    """Names of variables by process; a worker's own are in `schemas/stages.yaml`."""
    return {
        "kafka": STACK,
        "registry": STACK,
        "clickhouse": STACK,
        "model": (*STACK, "XDG_CACHE_HOME", "*_NUM_THREADS"),
        "ads": STACK,
        **{
            name: (*WORKER, *settings_of(*stage.settings), *stage.environment)
            for name, stage in stages().items()
        },
    }


def of_any_process() -> tuple[str, ...]:
    """Names of variables that any process gets; the supervisor gets all of them."""
    return tuple(dict.fromkeys(name for names in environments().values() for name in names))
