"""The page of maps: what each one is, what each direction costs, and a picture of what it does to a grid."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from pushforward import bijections as b
from pushforward import trees
from pushforward.distributions import Normal, Pushforward
from pushforward.networks import MADE, MLP, BlockTriangular, Lipschitz
from pushforward.objectives import NegativeLogLikelihood, Rows
from pushforward.training import Resident, Settings, train

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images" / "maps"
KEY = jax.random.key(4)
CLOSED, SEQUENTIAL, ITERATIVE = "closed form", "D steps, arithmetic of one pass", "one scalar equation"


class Entry(NamedTuple):
    """A map of the plane to draw.

    Arguments:
        make: draws it.
        equation: x from z.
        forward, inverse: cost of each direction.
        recipes: which recipes use it.
    """

    make: Callable[[], Any]
    equation: str
    forward: str = CLOSED
    inverse: str = CLOSED
    recipes: str = ""


def array(*values: Any) -> jax.Array:
    return jnp.asarray(np.array(values, dtype=float))


def shaken(bijection: Any, scale: float) -> Any:
    """The map with its raw numbers moved, as training moves them."""
    return trees.offset(bijection, scale * jax.random.normal(KEY, (trees.n_parameters(bijection),)))


def coupling(transformer: Any) -> Any:
    network = MLP.init(KEY, 1, trees.n_parameters(transformer), (16,), "tanh", output_scale=0.5)
    return b.Coupling(np.array([True, False]), network, transformer)


def autoregressive(transformer: Any) -> Any:
    network = MADE.init(KEY, 2, trees.n_parameters(transformer), (16,), activation="tanh", output_scale=0.5)
    return b.MaskedAutoregressive(network, transformer)


def temporal() -> Any:
    """Two steps of one column, the second moved by the first."""
    network = MLP.init(KEY, 1, 2, (16,), "tanh", output_scale=0.5)
    return b.TemporalAutoregressive(network, scalar_affine(), (2, 1))


def scalar_affine() -> Any:
    return b.Affine(array(0.0)[0], array(1.0)[0], max_log_scale=2.0)


UNIT = [[1.0, 0.0], [0.8, 1.0]]
MAPS: dict[str, Entry] = {
    "Shift": Entry(lambda: b.Shift(array(1.0, 0.5)), "z + m", recipes="nice"),
    "Scale": Entry(lambda: b.Scale(array(1.5, 0.5)), "s ⊙ z"),
    "Affine": Entry(lambda: b.Affine(array(1.0, 0.0), array(1.5, -0.5)), "s ⊙ z + m", recipes="real_nvp, maf, iaf"),
    "Gated": Entry(
        lambda: b.Gated(array(1.0, -1.0), array(0.8, 0.4)), "σ ⊙ z + (1 − σ) ⊙ m", recipes="iaf(gated=True)"
    ),
    "Dense": Entry(lambda: b.Dense(array([1.0, 0.6], [-0.5, 0.8]), array(0, 0)), "A z + m", inverse="O(D³)"),
    "Triangular": Entry(lambda: b.Triangular(array([1.2, 0], [0.8, 0.7]), array(0, 0)), "L z + m"),
    "PLU": Entry(lambda: shaken(b.PLU.init(KEY, 2), 0.4), "P L (U + diag s) z + m"),
    "LowRank": Entry(lambda: shaken(b.LowRank.init(KEY, 2, 1), 0.5), "(T + V diag(d) Vᵀ) z + m"),
    "Orthogonal": Entry(lambda: b.Orthogonal.init(KEY, 2), "Q z"),
    "Householder": Entry(
        lambda: b.Householder(array([1.0, 0.4])), "(I − 2 v vᵀ/‖v‖²) z, products", recipes="householder"
    ),
    "Permute": Entry(lambda: b.Permute([1, 0]), "coordinates in another order"),
    "LinearIAF": Entry(lambda: b.LinearIAF(array(*UNIT)), "L z, L unit lower triangular"),
    "ConvexCombination": Entry(
        lambda: b.ConvexCombination(array(0.0, 0.0), array(UNIT, [[1.0, 0.0], [-2.0, 1.0]])),
        "(Σ y_k L_k) z, y = softmax",
        recipes="convex_combination_iaf",
    ),
    "Exp": Entry(lambda: b.Exp((2,)), "eᶻ"),
    "Sigmoid": Entry(lambda: b.Sigmoid((2,)), "1 / (1 + e⁻ᶻ)"),
    "Softplus": Entry(lambda: b.Softplus((2,)), "log(1 + eᶻ)"),
    "Tanh": Entry(lambda: b.Tanh((2,)), "tanh z"),
    "Gumbel": Entry(lambda: b.Gumbel((2,)), "exp(−e⁻ᶻ)"),
    "PReLU": Entry(lambda: b.PReLU(array(0.4)[0], (2,)), "z where z ≥ 0, else α z"),
    "Bounded": Entry(lambda: b.Bounded(array(-1.0, 0.0), array(2.0, np.inf)), "onto (low, high), either end open"),
    "RationalQuadraticSpline": Entry(
        lambda: shaken(b.RationalQuadraticSpline.init((2,), 5, 3.0), 0.9),
        "a quotient of quadratics in each bin",
        recipes="spline_coupling, spline_autoregressive",
    ),
    "CircularShift": Entry(lambda: b.CircularShift(array(1.0, 0.0), 2.0), "z + m on a circle"),
    "DeepSigmoid": Entry(
        lambda: shaken(b.DeepSigmoid.init((2,), 4), 1.0), "logit Σ w_j σ(a_j z + b_j)", inverse=ITERATIVE, recipes="naf"
    ),
    "BatchNorm": Entry(lambda: b.BatchNorm(array(1.0, 0.0), array(2.0, 0.5)), "√(σ² + ε) z + μ, from the batch"),
    "ActNorm": Entry(lambda: b.ActNorm(array(1.0, 0.0), array(1.5, 0.6)), "s ⊙ z + m, started by the first batch"),
    "Planar": Entry(
        lambda: b.Planar(array(5.0, 0.0), array(1.0, 0.0), array(0.0)[0]),
        "z + u tanh(wᵀz + b)",
        inverse=ITERATIVE,
        recipes="planar",
    ),
    "Radial": Entry(
        lambda: b.Radial(array(1.0, 0.0), array(2.0)[0], array(5.0)[0]), "z + β (z − z₀) / (α + r)", recipes="radial"
    ),
    "Sylvester": Entry(
        lambda: shaken(b.Sylvester.init(KEY, b.Householder.init(KEY, 2, 2)), 0.7),
        "z + Q R tanh(R̃ Qᵀ z + b)",
        inverse="one scalar equation a unit",
        recipes="sylvester",
    ),
    "Coupling": Entry(
        lambda: coupling(scalar_affine()),
        "(z₁, τ(z₂; g(z₁)))",
        recipes="real_nvp, nice, spline_coupling",
    ),
    "MaskedAutoregressive": Entry(
        lambda: autoregressive(scalar_affine()),
        "x_i = τ(z_i; g(x_{<i}))",
        forward=SEQUENTIAL,
        inverse="one pass",
        recipes="maf, iaf, spline_autoregressive, naf",
    ),
    "TemporalAutoregressive": Entry(
        temporal,
        "x_t = τ(z_t; g(x_{t−w}, …, x_{t−1})), here two steps of one column",
        forward="T steps",
        inverse="one pass",
    ),
    "BlockAutoregressive": Entry(
        lambda: b.BlockAutoregressive(shaken(BlockTriangular.init(KEY, 2, (8,)), 0.5)),
        "z = (1 − w) x + w g(x), g block triangular",
        forward="D scalar equations in turn",
        inverse="one pass",
        recipes="bnaf",
    ),
    "Residual": Entry(
        lambda: shaken(b.Residual(Lipschitz.init(KEY, 2, 2, (3,), 0.97, output_scale=3.0), 2), 3.0),
        "z + g(z), g a contraction",
        forward="one pass; log-determinant exact or by a series",
        inverse="a fixed point",
        recipes="residual",
    ),
    "Continuous": Entry(
        lambda: b.Continuous(MLP.init(KEY, 3, 2, (32,), "tanh", 2.0), 2),
        "z(1) where dz/dt = v(t, z)",
        forward="an adaptive solve",
        inverse="an adaptive solve",
        recipes="continuous",
    ),
}
DRAWING = ("Indexed", "Dequantise")  # layers that are no maps of the plane: nothing to draw of them
COMBINED = (
    "Chain", "Scan", "Invert", "Identity", "Fixed", "Untrained", "Recomputed", "Amortized", "ConditionalCoupling",
    "Reshape", "Squeeze", "Convolution1x1", "ImageCoupling",
    "Concatenate", "split", "Vmap", "OrthonormalColumns", "Functions", "Foreign",
)  # fmt: skip


def draw(bijection: Any, title: str, file: Path) -> None:
    """A grid and a Gaussian, before and after."""
    lines = np.linspace(-2, 2, 17)
    along = np.linspace(-2, 2, 200)
    curves = [np.stack(p, -1) for v in lines for p in ((along, np.full(200, v)), (np.full(200, v), along))]
    forward = jax.jit(jax.vmap(lambda z: bijection.forward(z.reshape(bijection.shape)).reshape(-1)))
    moved = np.asarray(forward(jnp.asarray(np.concatenate(curves)))).reshape(len(curves), 200, 2)
    draws = jax.random.normal(jax.random.key(0), (6000, 2))
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
    for i, curve in enumerate(moved):
        jumps = np.abs(np.diff(curve, axis=0)).max(1) > 1  # a circle's seam
        curve = curve.copy()
        curve[1:][jumps] = np.nan
        axes[0].plot(*curve.T, color=("#0072B2", "#D55E00")[i % 2], linewidth=0.8)
    axes[1].scatter(*np.asarray(forward(draws)).T, s=1, color="#009E73", alpha=0.5, linewidths=0)
    for axis, name in zip(axes, ("a grid over [−2, 2]²", "draws of a standard normal"), strict=True):
        axis.set_title(name, fontsize=9)
        axis.set_aspect("equal", "datalim")
        axis.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def draw_exp(file: Path) -> None:
    """CS6202's first example: p(x) = 2x on [0, 1] under y = eˣ."""
    x, y = np.linspace(0, 1, 200), np.linspace(1, np.e, 200)
    z = np.sqrt(np.random.default_rng(0).random(20_000))
    figure, axes = plt.subplots(1, 2, figsize=(6, 2.6), layout="constrained")
    for axis, values, places, density, name in (
        (axes[0], z, x, 2 * x, "p(x) = 2x"),
        (axes[1], np.exp(z), y, 2 * np.log(y) / y, "p(y) = 2 log(y) / y, y = eˣ"),
    ):
        axis.hist(values, 60, density=True, color="#56B4E9", alpha=0.6)
        axis.plot(places, density, color="#000000", linewidth=1)
        axis.set_title(name, fontsize=9)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def draw_banana(file: Path) -> float:
    """CS6202's last example: low-rank affine maps and PReLUs fitted to a banana; its mean log-density on new rows."""
    rng = np.random.default_rng(0)

    def banana(n: int) -> Any:
        x2 = 4 * rng.normal(size=n)
        return np.stack([x2**2 / 4 + rng.normal(size=n), x2], 1).astype(np.float32)

    def draw_flow(key: jax.Array) -> Any:
        parts: list[Any] = []
        for k in jax.random.split(key, 6):  # with a triangular T, as in the lecture
            lower, factors, shift = jax.random.split(k, 3)
            part = jnp.eye(2) + jnp.tril(jax.random.normal(lower, (2, 2)), -1)
            parts += [
                b.LowRank(
                    part, 0.7 * jax.random.normal(factors, (2, 2)), jnp.ones(2), jax.random.normal(shift, (2,)) / 2
                ),
                b.PReLU(jnp.asarray(0.5), (2,)),
            ]
        return Pushforward(Normal.standard((2,)), b.Chain([*parts[:-1], b.ActNorm.init((2,))]))

    n = 4  # many starts end in a poor place
    flows = eqx.filter_vmap(draw_flow)(jax.random.split(jax.random.key(0), n))
    settings = Settings(max_epochs=150, batch_size=512, learning_rate=5e-3, schedule="cosine", clip_norm=10.0)
    rows = Resident.of(Rows(banana(8000)))
    fit = train(flows, NegativeLogLikelihood(), rows, key=jax.random.key(1), settings=settings, n_restarts=n)
    given, new = banana(2000), np.asarray(fit.model.sample(jax.random.key(2), (2000,)))
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained", sharex=True, sharey=True)
    for axis, points, name in ((axes[0], given, "data"), (axes[1], new, "six affine maps and five PReLUs, fitted")):
        axis.scatter(*points.T, s=2, color="#0072B2", alpha=0.5, linewidths=0)
        axis.set_title(name, fontsize=9)
        axis.set_xlim(-5, 40)
    figure.savefig(file, dpi=80)
    plt.close(figure)
    return float(fit.model.log_prob(jnp.asarray(banana(20_000))).mean())


def about(name: str) -> str:
    """What the map's docstring says of it, before its arguments."""
    text = inspect.cleandoc(getattr(b, name).__doc__ or "").split("\n\nArguments")[0]
    return textwrap.fill(text.replace("\n\n", " "), 10_000)


def undescribed() -> set[str]:
    """Public maps that this page has nothing on."""
    classes = {n for n in b.__all__ if inspect.isclass(getattr(b, n)) and not n.startswith("Abstract")}
    maps = {n for n in classes if issubclass(getattr(b, n), eqx.Module)}
    return maps - set(MAPS) - set(DRAWING) - set(COMBINED)


def page(banana: float, commit: str) -> str:
    lines = [
        "# Maps",
        "Generated by `make docs`; do not edit. Every map runs both ways, can be given a condition by `Amortized`, and",
        "sits in `pushforward.bijections`. Log-determinants are exact, but for residual and continuous maps of many",
        "coordinates, whose `exactness` says that theirs are estimates; layers that draw numbers of their own give a",
        "lower bound. Noise z becomes data x = f(z); pictures show where a grid and a Gaussian go.",
        "",
        "| map | x from z | z to x | x to z | in the recipes |",
        "| --- | --- | --- | --- | --- |",
        *(f"| [{n}](#{n.lower()}) | {e.equation} | {e.forward} | {e.inverse} | {e.recipes} |" for n, e in MAPS.items()),
        "",
        "## The lectures' examples",
        "",
        "p(x) = 2x on [0, 1] under y = eˣ: draws and the exact density.",
        "",
        "![Histograms with densities](images/maps/example-exp.png)",
        "",
        "The planar map with w = (5, 0), u = (1, 0), b = 0 and the radial map with z₀ = (1, 0), α = 2, β = 5 are drawn",
        "under [Planar](#planar) and [Radial](#radial). Six low-rank affine maps with PReLUs between them, fitted to a",
        f"banana, x₂ ~ N(0, 4²), x₁ ~ N(x₂²/4, 1): mean log-density {banana:.3f} on 20,000 new rows; the truth has",
        f"{-np.log(2 * np.pi * np.e) - np.log(4):.3f} (seed 0, commit `{commit}`).",
        "",
        "![Data and draws of the fitted flow](images/maps/example-banana.png)",
    ]
    for name in MAPS:
        lines += ["", f"## {name}", "", about(name), "", f"![{name} on a grid and a Gaussian](images/maps/{name}.png)"]
    for title, names in (("Layers that draw numbers of their own", DRAWING), ("Maps of maps", COMBINED)):
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", f"**{name}.** {about(name)}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write docs/maps.md and its pictures."""
    sys.path.insert(0, str(HERE.parent / "experiments"))
    from common import COMMIT

    missing = undescribed()
    if missing:
        raise SystemExit(f"docs/maps.py says nothing of {sorted(missing)}; add an entry for each")
    for name, entry in MAPS.items():
        draw(entry.make(), name, IMAGES / f"{name}.png")
    draw_exp(IMAGES / "example-exp.png")
    (HERE / "maps.md").write_text(page(draw_banana(IMAGES / "example-banana.png"), COMMIT))


if __name__ == "__main__":
    plt.switch_backend("Agg")
    main()
