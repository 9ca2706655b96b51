"""Settings of every test: shape and type checks switched on, fixtures, deterministic hypothesis."""

import contextlib
import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent
# A run compiles some ten thousand programs. On disk they serve the other worker, interpreters that tests start, and the
# next run; in memory they would fill the machine, so they are let go of every so often. Nearly all run for less time
# than XLA's costly passes take, so they go without.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

if "PYTEST_XDIST_WORKER" not in os.environ:
    # once a day it leaves a mark in the user's cache when it is imported; two workers at that at once fail
    with contextlib.suppress(ImportError):
        import arviz  # noqa: F401

import jax  # noqa: E402 - it reads the lines above

# Before anything imports the package, doctests included. Methods are decorated one by one, and there beartype does not
# know what Self is: it passes as anything.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(hint_overrides=beartype.FrozenDict({Self: object})))"
install_import_hook("pushforward", CHECKER.replace("Self", "__import__('typing').Self"))

# Tracing makes many small objects that live: at Python's own threshold, looking through all of them again and again
# takes an eighth of a run.
gc.set_threshold(100_000, 50, 100)

settings.register_profile(
    "pushforward",
    derandomize=True,
    deadline=None,  # a first example compiles
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("pushforward")


# Where the longest tests are: begun last, one of them would keep a worker busy long after the other has ended.
LONGEST = (
    "tests/estimators/test_sklearn.py",
    "tests/cli/",
    "tests/estimators/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    places = {item: next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), 99) for item in items}
    items.sort(key=places.__getitem__)


TESTS_BETWEEN_LOOKS = 20
MOST_MAPPINGS = 30_000  # Linux ends a process that asks for more than 65,530; a program takes a few
_since_look = itertools.count(1)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let go of the compiled programs of earlier tests where they have become many."""
    yield
    if next(_since_look) % TESTS_BETWEEN_LOOKS == 0 and mappings() > MOST_MAPPINGS:
        jax.clear_caches()


def mappings() -> int:
    """How many pieces of memory this process has mapped, most of them compiled programs; a large number if unknown."""
    maps = Path("/proc/self/maps")
    return len(maps.read_bytes().splitlines()) if maps.exists() else MOST_MAPPINGS + 1


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: where `PUSHFORWARD_DATA` points, or shared/data beside the checkout."""
    folder = Path(os.environ.get("PUSHFORWARD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set PUSHFORWARD_DATA to the one that holds it")
    return folder


@pytest.fixture
def float64() -> Iterator[None]:
    """64-bit JAX within one test."""
    with jax.enable_x64(True):
        yield
