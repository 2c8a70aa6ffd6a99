"""The base model, loaded once; the first time on a machine it is fitted."""

import pytest

from local_stack.model.pretraining import base_model
from local_stack.model.weights import Weights


@pytest.fixture(scope="session")
def base() -> Weights:
    """The base model as every user gets it."""
    return base_model()[0]
