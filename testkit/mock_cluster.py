"""librdkafka's own broker in this process: it starts at once, and takes what no other broker would."""

from confluent_kafka import Producer


class MockCluster:
    """One broker without disk; topics come into being when they are asked for, with 4 partitions."""

    def __init__(self) -> None:
        # the cluster lives as long as the client that began it
        self._owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none:1", "log_level": 0})
        (broker,) = self._owner.list_topics(timeout=10).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"

    def make(self, topic: str) -> None:
        """Makes a topic."""
        self._owner.list_topics(topic, timeout=10)
