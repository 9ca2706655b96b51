"""Labels of some rows, as component numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_labels(y: Any, n: int, k: int | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The labels as component numbers, and those that occur; `k` None for any number of components.

    Raises:
        ValueError: labels that are not whole numbers, of another length, or out of -1..K-1.
    """
    if y is None:
        return None, None
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape != (n,):
        raise ValueError(f"y has shape {given.shape}; expected one label for each of the {n} rows")
    try:
        label = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"labels must be whole numbers with -1 for unlabelled; got dtype {given.dtype}; "
            "number them first, with sklearn.preprocessing.LabelEncoder for example"
        ) from error
    if not (np.isfinite(label).all() and (label == np.round(label)).all()):
        raise ValueError("labels must be whole numbers, with -1 (not NaN) for unlabelled rows")
    most = (n if k is None else k) - 1
    out = label[(label < -1) | (label > most)]
    if len(out):
        raise ValueError(
            f"labels out of range: {sorted({int(v) for v in out})[:10]}; with n_components={k or 'auto'} they must be "
            f"-1 (unlabelled) or 0..{most}"
        )
    component = label.astype(int)
    classes = np.unique(component[component >= 0])
    return (None, None) if len(classes) == 0 else (classes, component)
