"""The pages of docs cover what there is, and are what their generators make of the committed results."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.report import render
from conftest import ROOT


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script outside of the package, with its neighbours in reach."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_every_map_is_on_the_page_of_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = load(ROOT / "docs" / "maps.py", monkeypatch)
    assert maps.undescribed() == set()
    page = (ROOT / "docs" / "maps.md").read_text()
    for name in maps.MAPS:
        assert f"## {name}\n" in page and (ROOT / "docs" / "images" / "maps" / f"{name}.png").is_file()


def test_the_page_of_experiments_is_that_of_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    report = load(ROOT / "experiments" / "report.py", monkeypatch)
    assert (ROOT / "docs" / "experiments.md").read_text() == report.page()


def test_the_page_of_benchmarks_is_that_of_the_committed_results() -> None:
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == render(ROOT / "benchmarks" / "results")


def test_the_code_on_the_page_of_extensions_runs() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict = {}
        exec(compile(block, "docs/extending.md", "exec"), names)
        assert float(names["loss"]) < 10
    for name in re.findall(r"examples/(\w+\.py)", page):
        assert (ROOT / "docs" / "examples" / name).is_file()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # short fits
def test_the_code_on_the_page_of_images_runs() -> None:
    page = (ROOT / "docs" / "images.md").read_text()
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/images.md", "exec"), names)
    assert float(names["accuracy"]) > 0.7  # of images that were not seen
    assert names["model"].sample(5, condition=names["classes"]).shape == (5, 10, 8, 8)


@pytest.mark.long
def test_the_code_on_the_page_of_series_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "series.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/series.md", "exec"), {})
