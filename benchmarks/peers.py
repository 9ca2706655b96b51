"""The peers' environments: made on first use, and again when the pins change."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runner import ROOT

PINS = Path(__file__).with_name("peers-constraints.txt")
PACKAGES = ("torch", "jax", "zuko", "nflows", "flowjax", "normflows", "torchflows", "scikit-learn", "numpy")


def peers_python(name: str = "peers", pins: Path = PINS, packages: Sequence[str] = PACKAGES) -> Path:
    """The interpreter of `.venv-NAME`, whose environment is created if it is absent or its pins changed.

    Arguments:
        name: of the environment.
        pins: the file of versions.
        packages: what to install, torch first.

    Raises:
        CalledProcessError: the environment could not be made; the installer's output says why.
    """
    folder = ROOT / f".venv-{name}"
    python, stamp = folder / "bin" / "python", folder / "pins.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == pins.read_text():
        return python
    print(f"making the peers' environment in {folder.name} (a minute or two)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(pins)]
    torch = next(line for line in pins.read_text().splitlines() if line.startswith("torch=="))
    subprocess.run([*install, torch], check=True)  # first and by version, so that no peer pulls another build in
    subprocess.run([*install, torch, *packages[1:]], check=True)
    stamp.write_text(pins.read_text())
    return python
