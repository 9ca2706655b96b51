"""Settings of every test: shape and type checks switched on, fixtures, deterministic hypothesis."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent
# A run compiles some ten thousand programs. On disk they serve the other worker, interpreters that tests start, and the
# next run; in memory they would fill the machine, so they are let go of every so often.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402 - it reads the lines above

# Before anything imports the package, doctests included. Methods are decorated one by one, and there beartype does not
# know what Self is: it passes as anything.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(hint_overrides=beartype.FrozenDict({Self: object})))"
install_import_hook("pushforward", CHECKER.replace("Self", "__import__('typing').Self"))

settings.register_profile(
    "pushforward",
    derandomize=True,
    deadline=None,  # a first example compiles
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("pushforward")


TESTS_BETWEEN_CLEARING = 50
_since_clearing = itertools.count(1)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let go of the compiled programs of earlier tests."""
    yield
    if next(_since_clearing) % TESTS_BETWEEN_CLEARING == 0:
        jax.clear_caches()


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Programs without XLA's costly passes, for modules whose tests compile much and run little."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def quick_examples(request: pytest.FixtureRequest) -> None:
    """Examples in docstrings compile much and run little."""
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("quick_compilation")


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
