"""Running commands in this process, and checking that a refused one lost nothing."""

import csv
import hashlib
from pathlib import Path

from typer.testing import CliRunner

from pushforward.cli import app

QUICK = ["--flow", "real_nvp", "--layers", "1", "--epochs", "3"]


def invoke(*arguments, stdin: bytes | None = None):
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, words, input=stdin, prog_name="pushforward")


def run(*arguments, stdin: bytes | None = None) -> str:
    """Run a command that must succeed; what it prints."""
    result = invoke(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def snapshot(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refused(*arguments, folder: Path | None = None) -> str:
    """Run a command that must fail; its one line, after checking that nothing was lost or left."""
    folder = Path.cwd() if folder is None else folder
    before = snapshot(folder)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert snapshot(folder) == before
    return lines[0].removeprefix("error: ")


def columns(path) -> list[str]:
    with open(path, newline="") as file:
        return next(csv.reader(file))


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name
