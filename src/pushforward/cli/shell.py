"""What every command shares: errors of one line, notes, quoting, the compilation cache."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

_SIGPIPE = 141  # as shells tell of a program that a closed pipe ended


def _bare(names: str) -> str:
    """A list of names in Python as options take it."""
    return names.replace("'", "").replace(", ", ",")


def _kinds(pairs: str) -> str:
    """Kinds of columns in Python as options take them, quoted for the shell."""
    said = [_bare(f"{name}={kind}").replace("left out", "left-out") for name, kind in _KIND.findall(pairs)]
    return " ".join(f"--kind-of {shlex.quote(pair)}" for pair in said)


_KIND = re.compile(r"('[^']*'|\"[^\"]*\"|\w+): ('[^']*'|\w+)")
# What the library calls its arguments, and the command line its options. Some with the word that follows, as columns
# and files may have such names.
_IN_OPTIONS = (
    (re.compile(r"\bcolumns={(.+?)}"), lambda found: _kinds(found[1])),
    (re.compile(r"\bcolumns=\[(.*?)\]"), lambda found: "--columns " + _bare(found[1])),
    (re.compile(r"\bgiven={(.*?)}"), lambda found: "--given " + _bare(found[1]).replace(": ", "=")),
    (re.compile(r"\bgiven= ?"), "--given "),
    (re.compile(r"\(by=\)"), "(--by)"),
    (re.compile(r"\blabel_column= ?"), "--label-column "),
    (re.compile(r"\bcomponent= ?"), "--component "),
    (re.compile(r"\bn_components="), "--components "),
    (re.compile(r"\bn_components\b"), "--components"),
    (re.compile(r"\bimage_shape\b"), "--image"),
    (re.compile(r"\bmax_epochs="), "--epochs "),
    (re.compile(r", or set warm_start=True and fit again to go on"), ""),
    (re.compile(r"\bdiscrete=\[\.\.\.\]"), "--discrete"),
    (re.compile(r"\bdiscrete='none'"), "--discrete none"),
    (re.compile(r"\b(max_)?epochs must\b"), "--epochs must"),
    (re.compile(r"\bbatch_size must\b"), "--batch-size must"),
    (re.compile(r"\blearning_rate must\b"), "--learning-rate must"),
    (re.compile(r"\bcontamination must\b"), "--contamination must"),
    (re.compile(r"\bdrop_missing=True"), "--drop-missing"),
    (re.compile(r"\boverwrite=True"), "--overwrite"),
    (re.compile(r"\bform='(\w+)'"), r"--format \1"),
    (re.compile(r"\bleave form= out\b"), "leave --format out"),
    (re.compile(r"\banother path\b"), "another --out"),
    (re.compile(r"\bone flow alone\b"), "one flow alone (--kind density)"),
    (re.compile(r"\bscore it instead\b"), "use `pushforward score`"),
)


class OneLineGroup(TyperGroup):
    """A group of commands whose failures are one line on standard error and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # who reads, `head` say, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python has yet to flush
            raise typer.Exit(_SIGPIPE) from None
        except KeyboardInterrupt:
            note("interrupted before there was anything to write")
            raise typer.Exit(130) from None

    def main(self, args: Any = None, *others: Any, **extra: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        if not extra.pop("standalone_mode", True):
            return super().main(words, *others, **{**extra, "standalone_mode": False})
        try:
            code = super().main(words, *others, **{**extra, "standalone_mode": False})
        except TyperException as error:
            fail(f"{error.format_message()} (--help tells more)")
        except Exception as error:
            if os.environ.get("PUSHFORWARD_DEBUG") or not isinstance(error, _for_users()):
                raise
            fail(in_options(one_line(error)))
        sys.exit(code if isinstance(code, int) else 0)


def _for_users() -> tuple[type[Exception], ...]:
    """Errors whose message is all that a user needs."""
    from pushforward.bijections import InexactError, SolveError  # slow to import, so only after a failure

    return ValueError, OSError, RuntimeError, MemoryError, ImportError, InexactError, SolveError


def fail(message: str) -> NoReturn:
    """End with one line on standard error and exit code 2."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def note(message: str) -> None:
    """Tell the user something beside the result."""
    typer.echo(f"note: {' '.join(message.split())}", err=True)


def one_line(error: BaseException) -> str:
    """What an error says, without the class name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory; use fewer rows or a smaller --batch-size ({error})"
    return str(error) or type(error).__name__


def in_options(message: str) -> str:
    """A message of the library with the names of options in place of those of arguments."""
    for argument, option in _IN_OPTIONS:
        message = argument.sub(option, message)
    return message


@contextmanager
def about(model: Path) -> Iterator[None]:
    """Name the model in what is refused about it.

    Raises:
        ValueError: a `RequestError` of the service, after the model's folder.
    """
    from pushforward.service import RequestError

    try:
        yield
    except RequestError as error:
        raise ValueError(f"{model}: {error}") from error


def command(*words: object) -> str:
    """A command to type next, quoted for the shell, that starts the program as it was started now."""
    return shlex.join([*_program(), *map(str, words)])


def _program() -> list[str]:
    """How this program was called: by its name where the shell finds it so, else by its path, or as a module."""
    called = Path(sys.argv[0])
    if called.parts[-3:] == ("pushforward", "cli", "__main__.py"):
        return [sys.executable, "-m", "pushforward.cli"]
    found = shutil.which("pushforward")
    if called.stem != "pushforward" or not called.is_file() or (found and os.path.samefile(found, called)):
        return ["pushforward"]
    return [str(called)]


def free_name(name: str) -> str:
    """The name of a file to write that is not there yet, so that a suggested command replaces nothing."""
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(name).with_stem(f"{Path(name).stem}-{number}"), number + 1
    return str(path)


def prepare() -> None:
    """Before the first computation: show warnings as notes, and keep compiled programs between commands."""
    from pushforward.processes import keep_programs

    warnings.showwarning = lambda message, *_, **__: note(in_options(str(message)))
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*")
    keep_programs()
