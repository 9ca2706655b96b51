"""A saved model."""

from pathlib import Path

import pytest

import pushforward as pf
from tests.serialization.helpers import model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pf.save(model(), tmp_path / "model")
    return tmp_path / "model"
