"""Setting a stack up: what is away or refuses is one line."""

import pytest

from schemas.errors import BrokerAway
from sinks.clickhouse import StatementRefused
from streams import bootstrap
from streams.errors import UserError
from streams.runtime.kafka_clients import DeliveryFailed
from streams.settings import Settings


@pytest.mark.parametrize("error", [BrokerAway, StatementRefused, DeliveryFailed])
def test_a_step_that_fails_is_one_line_with_its_title(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise error("2 records were not acknowledged within 60 s")

    monkeypatch.setattr(bootstrap, "bootstrap_steps", lambda *given: iter([("reference agent", fails)]))
    with pytest.raises(UserError) as caught:
        bootstrap.bootstrap(Settings(), lambda _: None, lambda _: None)
    assert caught.value.message == "reference agent: 2 records were not acknowledged within 60 s"
    assert caught.value.exit_code == 1
