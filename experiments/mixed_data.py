"""The eight tables of `mixed/`, from the files as they are, and the environment of other models of such tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from common import HERE, data_folder

from pushforward.data import open_source

sys.path.insert(0, str(HERE.parent))
from benchmarks.peers import peers_python

TABLES = ["penguins", "titanic", "german-credit", "horse-colic", "taxis", "telco-churn", "diamonds", "adult"]
LARGE = ("diamonds", "adult")


def others() -> Path:
    """The interpreter of the models that this package is set beside."""
    packages = ("torch", "sdv", "ForestDiffusion", "kmodes")
    return peers_python("synthetic", HERE / "synthetic-constraints.txt", packages)


def read(file: str) -> Any:
    """A file of `mixed/` as an Arrow table."""
    return pa.Table.from_batches(list(open_source(str(data_folder() / "mixed" / f"{file}.csv.gz")).batches(65536)))


def table(name: str, seed: int) -> tuple[Any, Any]:
    """Rows to fit and rows held out: adult has files of both, of the others a fifth is held out."""
    if name == "adult":
        train, test = read("adult-train"), read("adult-test")
        last = test.column_names[-1]  # its levels end in a full stop there
        return train, test.set_column(14, last, pc.utf8_rtrim(test.column(last), "."))
    whole = read(name)
    order = np.random.default_rng(seed).permutation(len(whole))
    n = len(whole) // 5
    return whole.take(order[n:]), whole.take(order[:n])
