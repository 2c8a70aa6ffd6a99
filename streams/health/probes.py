"""Whether something answers now."""

import socket
import urllib.request
from collections.abc import Callable

from schemas.settings import KafkaSettings

AWAY = "opoi_replay_away"


def answers_http(url: str) -> bool:
    """Whether a GET of `url` succeeds now."""
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def unreachable(port: int) -> list[str]:
    """What the replay worker with metrics on `port` of 127.0.0.1 cannot reach: `model`, `agent:NAME`, ...

    Empty if no worker answers there.
    """
    from prometheus_client.parser import text_string_to_metric_families

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text = answer.read().decode()
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError):
        return []
    samples = (one for family in families if family.name == AWAY for one in family.samples)
    return sorted(one.labels["what"] for one in samples if one.value)


def listening(port: int) -> Callable[[], bool]:
    """A probe: whether `port` of 127.0.0.1 takes connections now."""

    def probe() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return probe


def broker_answers(settings: KafkaSettings, timeout: float = 5) -> bool:
    """Whether the broker of `settings` answers a metadata request within `timeout` seconds."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet = {"log_level": 0, "socket.connection.setup.timeout.ms": 1000, "reconnect.backoff.ms": 50}
    try:
        AdminClient({**settings.client_config(), **quiet}).list_topics(timeout=timeout)
    except KafkaException:
        return False
    return True
