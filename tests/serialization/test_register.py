"""Classes of one's own in model files."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import pushforward as pf
from pushforward.bijections import Affine, Chain, from_functions
from pushforward.serialization import register, registry
from pushforward.serialization.renamed import state_of_today
from tests.serialization.helpers import edit, roundtrip


@register(name="tests.Slope")
class Slope(eqx.Module):
    slope: jax.Array
    kind: str = eqx.field(static=True, default="linear")

    def __call__(self, z: Any) -> Any:
        return self.slope * z


def test_a_registered_class_comes_back(tmp_path: Path) -> None:
    chain = Chain([Affine(jnp.zeros(2), jnp.ones(2)), from_functions(Slope(jnp.array(2.0)), shape=(2,))])
    assert roundtrip(chain, tmp_path / "own").forward(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_an_unknown_name_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pf.save(Slope(jnp.array(2.0)), tmp_path / "own")
    edit(tmp_path / "own", lambda d: d["model"].update({"class": "tests.Other"}))
    with pytest.raises(pf.ModelFileError, match="unknown class 'tests.Other'; if it is a class of your own, import"):
        pf.load(tmp_path / "own")


def test_functions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"cannot save model/function: <function .* is code.*serialization.register"):
        pf.save(from_functions(lambda z: 2 * z, shape=()), tmp_path / "own")


def test_clashes_are_refused() -> None:
    class Another(eqx.Module):
        x: int = 0

    assert register(Slope, "tests.Slope") is Slope
    with pytest.raises(ValueError, match="is that of .*Slope; give another name"):
        register(Another, "tests.Slope")
    with pytest.raises(ValueError, match="already called 'bijections.Affine'"):
        register(Affine)
    with pytest.raises(ValueError, match="looks like one of pushforward"):
        register(Another, "bijections.Another")
    with pytest.raises(ValueError, match="identifiers"):
        register(Another, "not a name")
    with pytest.raises(TypeError, match="cannot register"):
        register(int)
    assert registry.name_of(Another) is None


def test_keys_of_states_are_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CLASSES, "bijections.Old", "bijections.Affine")
    assert registry.class_of("bijections.Old") == ("bijections.Affine", Affine)
    from pushforward.serialization import renamed

    monkeypatch.setitem(renamed.STATES, "estimators", {"fitted/columns_/old": "new", "fitted/gone": None})
    state = {"params": {"old": 1}, "fitted": {"columns_": {"old": 2}, "gone": 3}}
    assert state_of_today("estimators.FlowDensity", state) == {"params": {"old": 1}, "fitted": {"columns_": {"new": 2}}}
