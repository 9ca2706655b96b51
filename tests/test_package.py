"""The package from outside: its public names, and what importing it costs."""

import subprocess
import sys

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import pushforward as pf
from pushforward.networks import MLP, Linear


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport sys\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_is_cheap() -> None:
    heavy = {"sklearn", "scipy", "pandas", "polars", "duckdb", "pyarrow", "matplotlib", "optax", "typer", "rich"}
    alone = modules_after("import jax, equinox")
    assert not modules_after("import pushforward") & (heavy - alone)
    # the parts that models are built of need no more than JAX either
    parts = modules_after("import pushforward as pf; pf.bijections, pf.distributions, pf.flows, pf.load")
    assert not parts & (heavy - alone)
    # nor do tables that pass through need JAX, which takes more memory than their batches
    streaming = "from pushforward.data import TableWriter; TableWriter('rows.parquet')"
    assert "jax" not in modules_after(streaming)


def test_public_names_are_there() -> None:
    assert set(pf.__all__) <= set(dir(pf))
    for name in pf.__all__:
        assert getattr(pf, name) is getattr(pf, name)
    assert pf.ModelFileError.__mro__[1] is ValueError
    with pytest.raises(AttributeError, match="no attribute 'FlowDensities'"):
        _ = pf.FlowDensities  # type: ignore[attr-defined]


def test_shapes_are_checked_in_tests() -> None:
    assert MLP.init.__doc__
    with pytest.raises(TypeCheckError):
        Linear(jnp.zeros(3), jnp.zeros(3))
