"""`pushforward demo`: a mixture of flows on handwritten digits, in about a minute."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pushforward.cli.shell import command, free_name, prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPILOG = """
**Example**

pushforward demo
"""
MARK = "pushforward demo: handwritten digits 0 to 4"
PAGE = """# {mark}

{rows} handwritten digits of 8 × 8 pixels (those that scikit-learn carries), fitted by a mixture of {k} normalizing
flows in {seconds:.0f} seconds. The fit saw the pixels alone, never which digit they show.

- `contingency.png`: which component each digit went to. {accuracy:.1%} of the digits are in the component that
  stands for them (adjusted Rand index {ari:.3f}).
- `samples_by_component.png`: new digits drawn from each component.
- `density.png`: how usual each digit is: log-densities by component, in nats, with the digits of lowest and of highest.
- `clusters.png`: data beside samples, in the plane of the two leading principal components; digits in the colour of the
  component that stands for them.
- `training.png`: log-density by epoch, in the units of `mean_log_density` in `metrics.json`.
- `model/`: the fitted model; `digits.csv`: the table; `metrics.json`: the figures above.
"""


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("pushforward-demo"),
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same result.")] = 0,
) -> None:
    """Fit a mixture of flows to handwritten digits: clusters, new digits, a density, pictures, a saved model.

    Takes about a minute. A small version of the MNIST experiment of the thesis behind this model.
    """
    _check_folder(out)
    prepare()
    from sklearn.datasets import load_digits

    from pushforward.estimators import FlowMixture
    from pushforward.service import as_frame
    from pushforward.training import reporting, tell

    digits = load_digits(n_class=5)
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    typer.echo(f"{len(digits.data)} handwritten digits 0 to 4, 8 × 8 pixels each; fitting a mixture of 5 flows …")
    frame = as_frame(digits.data, names)
    began = time.monotonic()
    with reporting(True):
        mixture = FlowMixture(
            5,
            n_layers=2,  # two layers and 40 epochs are plenty for 901 rows, and quick
            max_epochs=40,
            bounds=(0.0, 16.0),
            random_state=seed,
            verbose=1,
        )
        mixture.set_output(transform="default").fit(frame)
        tell("scoring")
        metrics = _metrics(mixture, frame, digits.target, time.monotonic() - began, seed)
    typer.echo(
        f"done in {metrics['seconds']:.0f} s: {metrics['accuracy']:.1%} of the digits are in the component that stands "
        f"for them (adjusted Rand index {metrics['adjusted_rand_index']:.3f}), found without any label"
    )
    out.mkdir(parents=True, exist_ok=True)
    with reporting(True, "drawing pictures"):
        for name, figure in _pictures(mixture, frame, digits.data, digits.target, seed).items():
            figure.savefig(out / name)
    _write(out, mixture, digits.data, names, metrics)
    typer.echo(f"\nPictures, the table and the model are in {out}{'' if str(out).endswith('/') else '/'}. Next:\n")
    model, table = out / "model", out / "digits.csv"
    typer.echo(f"  {command('cluster', model, table, '--out', free_name('clusters.csv'))}")
    typer.echo(f"  {command('sample', model, '-n', 100, '--out', free_name('new-digits.csv'), '--component', 0)}")
    typer.echo(f"  {command('info', model)}")
    typer.echo(f"\nWith a table of your own: {command('fit', 'TABLE.csv', '--out', 'my-model')}")


def _check_folder(out: Path) -> None:
    """An older demo may be replaced, and nothing else."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; give the demo another folder with --out")
    if out.is_dir() and any(out.iterdir()):
        readme = out / "README.md"
        if not (readme.is_file() and MARK in readme.read_text(encoding="utf-8", errors="replace")):
            raise ValueError(f"{out}: holds other things than a demo; give another folder with --out")


def _metrics(mixture: Any, frame: Any, digit: np.ndarray, seconds: float, seed: int) -> dict[str, Any]:
    """How well the components found the digits, counting each component for the digit that matches it best."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score
    from sklearn.metrics.cluster import contingency_matrix

    component = mixture.predict(frame)
    table = contingency_matrix(digit, component)
    matched = table[linear_sum_assignment(-table)].sum()
    return {
        "accuracy": round(float(matched / len(digit)), 4),
        "adjusted_rand_index": round(float(adjusted_rand_score(digit, component)), 4),
        "mean_log_density": round(float(mixture.score(frame)), 4),
        "epochs": int(mixture.n_iter_),
        "seconds": round(seconds, 1),
        "seed": seed,
        "rows": len(digit),
        "components": int(mixture.n_components),
    }


def _pictures(mixture: Any, frame: Any, X: np.ndarray, digit: np.ndarray, seed: int) -> dict[str, Figure]:
    from sklearn.decomposition import PCA

    from pushforward import plots

    k = mixture.n_components
    component, log_density = mixture.predict(frame), mixture.score_samples(frame)
    draws = [mixture.sample(10, component=j, random_state=seed)[0] for j in range(k)]
    samples, origin = mixture.sample(len(X), random_state=seed)
    plane = PCA(2, random_state=0).fit(X)
    return {
        "contingency.png": plots.contingency(digit, component, n_components=k, class_name="digit"),
        "samples_by_component.png": plots.samples_by_component(draws, image_shape=(8, 8), weights=mixture.weights_),
        "density.png": plots.densities(log_density, component, X, (8, 8)),
        "clusters.png": plots.data_and_samples(
            plane.transform(X),
            plane.transform(samples),
            origin,
            names=("first principal component (grey levels)", "second principal component (grey levels)"),
            classes=digit,
            data_components=component,
        ),
        "training.png": plots.training_curve(mixture.history_, mixture.best_epoch_, mixture.columns_.log_scale),
    }


def _write(out: Path, mixture: Any, X: np.ndarray, names: list[str], metrics: dict[str, Any]) -> None:
    import pyarrow as pa

    from pushforward.data.writing import TableWriter
    from pushforward.serialization import save

    save(mixture, out / "model", overwrite=True)
    with TableWriter(out / "digits.csv", overwrite=True) as writer:
        writer.write(pa.RecordBatch.from_pydict({name: X[:, i].astype(int) for i, name in enumerate(names)}))
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(
        PAGE.format(
            mark=MARK,
            rows=metrics["rows"],
            k=metrics["components"],
            seconds=metrics["seconds"],
            accuracy=metrics["accuracy"],
            ari=metrics["adjusted_rand_index"],
        ),
        encoding="utf-8",
    )
