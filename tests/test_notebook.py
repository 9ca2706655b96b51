"""What a notebook shows: the README's examples run there, and fits, pictures and tables show themselves."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

SMALL = """
import numpy as np
import pandas as pd
import pushforward as pf

table = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["length", "width"])
small = {"flow": "nice", "n_layers": 1, "hidden_sizes": (4,), "max_epochs": 3, "random_state": 0}
"""
FIT = "model = pf.FlowDensity(**small, verbose=1).fit(table)"
ESTIMATOR = "model"
DISTRIBUTION = "model.model_"
ROWS = "model.sample(3, random_state=1)"
PICTURE = "pf.plots.training_curve(model.history_, model.best_epoch_)"


class Notebook(NotebookClient):
    """Runs a notebook, and keeps what its cells showed on the way, which a saved notebook no longer has."""

    def __init__(self, cells: list[str], folder: Path):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        super().__init__(notebook, timeout=900, resources={"metadata": {"path": str(folder)}})
        self.shown: list[dict[str, Any]] = []
        self.execute()

    def process_message(self, msg: dict[str, Any], *given: Any) -> Any:
        self.shown.append(msg["content"].get("data", {}))
        return super().process_message(msg, *given)

    def outputs(self, source: str) -> dict[str, str]:
        """The last output of a cell, by its MIME type."""
        cell = next(cell for cell in self.nb.cells if cell.source == source)
        return dict(cell.outputs[-1]["data"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    return Notebook([SMALL, FIT, ESTIMATOR, DISTRIBUTION, ROWS, PICTURE], tmp_path_factory.mktemp("small"))


def test_a_fit_shows_its_progress_and_leaves_a_line(small: Notebook) -> None:
    pages = [data["text/html"] for data in small.shown if "text/html" in data]
    assert any(re.search(r"compiling <progress ?></progress>", page) for page in pages)
    assert re.search(r">done in \d+ s<", small.outputs(FIT)["text/html"])


def test_new_rows_are_a_table_and_figures_pictures(small: Notebook) -> None:
    rows = small.outputs(ROWS)["text/html"]
    assert "<table" in rows and "length" in rows and "width" in rows
    assert small.outputs(PICTURE)["image/png"].startswith("iVBOR")
    assert "FlowDensity" in small.outputs(ESTIMATOR)["text/html"]
    told = small.outputs(DISTRIBUTION)["text/plain"]
    assert told.startswith("Pushforward(Logistic, Chain(") and len(told.splitlines()) < 5


@pytest.mark.long
def test_the_examples_of_the_readme_run_as_they_are_printed(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    notebook = Notebook([first, second], tmp_path)  # an error in a cell is one here
    assert notebook.outputs(first)["image/png"].startswith("iVBOR")
    printed = "".join(output["text"] for output in notebook.nb.cells[1].outputs if output.get("name") == "stdout")
    assert "mean" in printed and "spread" in printed
    assert (tmp_path / "pinwheel-model" / "model.json").is_file()
