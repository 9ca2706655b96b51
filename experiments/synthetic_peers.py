"""Synthetic rows by GaussianCopula, CTGAN and TVAE of SDV and by ForestDiffusion, each with its defaults, on one core.

`synthetic.py` runs it in an environment of its own. Gaps are left to the libraries. ForestDiffusion takes numbers with
gaps, and is told which columns are categories, where a gap is a level; one fit of the smallest table takes two
hours.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_tables import LABELS, SEEDS, Method, generate


def _seeded(seed: int) -> None:
    """Every generator of numbers that the libraries draw from."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the libraries draw from it
    random.seed(seed)


def _sdv(synthesizer: str, train: pd.DataFrame, seed: int) -> pd.DataFrame:
    from sdv import single_table
    from sdv.metadata import Metadata

    _seeded(seed)
    kinds = {
        "GaussianCopula": single_table.GaussianCopulaSynthesizer,
        "CTGAN": single_table.CTGANSynthesizer,
        "TVAE": single_table.TVAESynthesizer,
    }
    model = kinds[synthesizer](Metadata.detect_from_dataframes({"table": train}))
    model.fit({"table": train})
    _seeded(seed)
    return model.sample(len(train))["table"]


def forest_diffusion(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    from ForestDiffusion import ForestDiffusionModel

    _seeded(seed)
    texts = [i for i, dtype in enumerate(train.dtypes) if dtype.kind == "O"]
    whole = [i for i, dtype in enumerate(train.dtypes) if dtype.kind == "i"]
    levels = {i: pd.factorize(train.iloc[:, i], use_na_sentinel=False) for i in texts}
    X = np.column_stack([levels[i][0] if i in levels else train.iloc[:, i] for i in range(train.shape[1])])
    binary = [i for i in texts if len(levels[i][1]) == 2]
    model = ForestDiffusionModel(
        X.astype(float),
        bin_indexes=binary,
        cat_indexes=[i for i in texts if i not in binary],
        int_indexes=whole,
        n_jobs=1,
        seed=seed,
    )
    drawn = pd.DataFrame(model.generate(batch_size=len(train)), columns=train.columns)
    for i, (_, names) in levels.items():
        drawn[train.columns[i]] = np.asarray(names)[drawn.iloc[:, i].astype(int)]
    return drawn.astype({train.columns[i]: np.int64 for i in whole})


METHODS: dict[str, Method] = {name: partial(_sdv, name) for name in ("GaussianCopula", "CTGAN", "TVAE")}
METHODS["ForestDiffusion"] = forest_diffusion

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of synthetic rows; what is there is kept")
    parser.add_argument("--tables", choices=list(LABELS), action="append", required=True)
    parser.add_argument("--methods", choices=list(METHODS), action="append", required=True)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many, from 0 (default: {SEEDS})")
    asked = parser.parse_args()
    generate({name: METHODS[name] for name in asked.methods}, asked.out, asked.tables, asked.seeds)
