"""Settings of every test: shape and type checks switched on, fixtures, deterministic hypothesis."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Before anything imports the package, doctests included. Methods are decorated one by one, and there beartype does not
# know what Self is: it passes as anything.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(hint_overrides=beartype.FrozenDict({Self: object})))"
install_import_hook("pushforward", CHECKER.replace("Self", "__import__('typing').Self"))

ROOT = Path(__file__).resolve().parent

settings.register_profile(
    "pushforward",
    derandomize=True,
    deadline=None,  # a first example compiles
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("pushforward")


# A run compiles some ten thousand programs. On disk they serve the other worker and the next run; in memory they would
# fill the machine, so they are let go of every so often.
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
TESTS_BETWEEN_CLEARING = 50
_since_clearing = itertools.count(1)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let go of the compiled programs of earlier tests."""
    yield
    if next(_since_clearing) % TESTS_BETWEEN_CLEARING == 0:
        jax.clear_caches()


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
