"""What a shell is told on Tab."""

import pytest

from tests.cli.helpers import run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_is_printed(shell, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # which the tests' own parent would decide
    said = run("--show-completion", shell)
    assert f"_PUSHFORWARD_COMPLETE=complete_{shell}" in said
    assert "--install-completion" in run("--help")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pushforward f", ["fit", "forecast"]),
        ("pushforward fit t.csv --ki", ["--kind", "--kind-of"]),
        ("pushforward fit t.csv --kind ", ["mixture", "density", "outliers"]),
        ("pushforward score model t.csv --format j", ["jsonl"]),
        ("pushforward info m", []),  # nothing: the shell then offers files and folders
        ("pushforward score model t", []),
        ("pushforward score model t.csv --out s", []),
    ],
)
def test_what_is_typed_is_completed(typed, offered, monkeypatch):
    words = typed.split(" ")
    monkeypatch.setenv("_PUSHFORWARD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert run().split() == offered
