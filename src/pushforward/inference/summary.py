"""A table of a posterior, to read as text or in a notebook."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping

import numpy as np

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
COLUMNS = ("mean", "sd", *(f"{q:.0%}" for q in QUANTILES))


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """Means, standard deviations and quantiles of every number, and a sentence on whether to trust them.

    Arguments:
        rows: by the name of the number, as `scale` or `slope[2]`, its numbers by the names of `COLUMNS`.
        verdict: the sentence.

    Example:
        >>> import numpy as np
        >>> from pushforward.inference.summary import Summary
        >>> Summary.of({"scale": np.array([1.0, 2.0, 3.0])}, "trusted").rows["scale"]["mean"]
        2.0
    """

    rows: dict[str, dict[str, float]]
    verdict: str

    @classmethod
    def of(cls, draws: Mapping[str, np.ndarray], verdict: str) -> Summary:
        """Of draws by name, their first axis that of the draws."""
        rows = {}
        for name, leaf in draws.items():
            every = np.asarray(leaf, np.float64)
            for at in np.ndindex(every.shape[1:]):
                x = every[(slice(None), *at)]
                numbers = [x.mean(), x.std(), *np.quantile(x, QUANTILES)]
                label = name + (f"[{','.join(map(str, at))}]" if at else "")
                rows[label] = dict(zip(COLUMNS, map(float, numbers), strict=True))
        return cls(rows, verdict)

    def __str__(self) -> str:
        width = max(20, *(len(name) + 1 for name in self.rows))
        lines = [" " * width + "".join(f"{column:>11}" for column in COLUMNS)]
        for name, row in self.rows.items():
            lines.append(f"{name:{width}}" + "".join(f"{row[column]:>11.4g}" for column in COLUMNS))
        return "\n".join([*lines, self.verdict])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in ("", *COLUMNS))
        body = "".join(
            f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{row[c]:.4g}</td>" for c in COLUMNS) + "</tr>"
            for name, row in self.rows.items()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self.verdict)}</p>"
