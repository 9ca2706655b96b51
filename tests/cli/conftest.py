import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import pinwheel
from pushforward.training import progress
from tests.cli.helpers import QUICK, run


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Commands within the test process leave its compilation cache alone, and say nothing of how far they are."""
    monkeypatch.setenv("PUSHFORWARD_CACHE", "")
    monkeypatch.setattr(progress, "FIRST_LINE", 3600.0)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory) -> Path:
    """A folder with a table, and models fitted to it by the command line."""
    folder = tmp_path_factory.mktemp("fitted")
    X, wing = pinwheel(120, seed=0)
    wings = [["north", "east", "south", "west", "west"][w] if i % 3 else "" for i, w in enumerate(wing)]
    table = pa.table({"id": [f"row {i}" for i in range(120)], "x": X[:, 0], "y": X[:, 1], "side": wings, "n": wing})
    pq.write_table(table, folder / "table.parquet")
    data = str(folder / "table.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_CACHE", "")
        run("fit", data, "--out", folder / "model", "--columns", "x,y,n", "--label-column", "side", *QUICK)
        run("fit", data, "--out", folder / "density", "--columns", "x,y", "--given", "n", "--kind", "density", *QUICK)
    return folder


@pytest.fixture
def work(tmp_path, fitted, monkeypatch) -> Path:
    """A copy of that folder to work in."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
