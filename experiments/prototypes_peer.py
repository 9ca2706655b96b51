"""Clusters by k-prototypes: `python prototypes_peer.py FILE K SEEDS NUMBER...` prints those of every seed as JSON."""

import json
import sys

import pandas as pd
from kmodes.kprototypes import KPrototypes

file, k, seeds, *numbers = sys.argv[1:]
rows = pd.read_csv(file)
categories = [i for i, name in enumerate(rows.columns) if name not in numbers]
found = [
    KPrototypes(int(k), init="Cao", n_init=2, random_state=seed).fit_predict(rows.to_numpy(), categorical=categories)
    for seed in range(int(seeds))
]
print(json.dumps([part.tolist() for part in found]))
