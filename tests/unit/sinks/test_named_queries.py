"""The headers of the named queries, and binding their parameters."""

import re

import pytest

from sinks.named_queries import QueryFault, named_queries, named_query


@pytest.mark.parametrize("name", named_queries())
def test_a_query_says_what_it_takes(name: str) -> None:
    query = named_queries()[name]
    used = set(re.findall(r"\{(\w+):(\w+)\}", query.sql))
    assert used == {(parameter.name, parameter.type) for parameter in query.parameters}, (
        f"sinks/queries/{name}.sql: list each {{name:Type}} of the SQL below `Parameters:`"
    )
    assert query.about.endswith(".")
    assert query.columns


@pytest.mark.parametrize("name", named_queries())
def test_a_period_says_by_which_time(name: str) -> None:
    periods = [
        one for one in named_queries()[name].parameters if "days back" in one.meaning or one.name == "days"
    ]
    silent = [one.name for one in periods if ", by " not in one.meaning]
    assert not silent, f"sinks/queries/{name}.sql: add to {silent} `, by the time of ...`"


def test_defaults_are_bound_and_what_is_given_wins() -> None:
    assert named_query("funnel").bind({"days": "3"}) == {"agent": "", "days": "3"}


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(QueryFault, match="query funnel has no parameter 'day'; it has agent, days"):
        named_query("funnel").bind({"day": "3"})


def test_a_parameter_without_a_default_must_be_given() -> None:
    with pytest.raises(QueryFault, match=r"query decision needs decision_id .*--param decision_id=VALUE"):
        named_query("decision").bind({})


def test_an_unknown_query_is_refused_with_those_there_are() -> None:
    with pytest.raises(QueryFault, match="there is no query 'tunnel'; there are conservation, "):
        named_query("tunnel")
