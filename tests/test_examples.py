"""The examples run, and what they assert holds; none is longer than a page."""

import ast
import runpy
from pathlib import Path

import pytest

from conftest import ROOT

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
MOST_LINES = 30


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_asserts_something(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(text)))
