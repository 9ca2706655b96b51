"""Fixtures of the tests of training."""

from collections.abc import Iterator

import pytest
from jaxtyping import config


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The package as users run it: in tests, its arguments' types are checked before it sees them."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
