"""Rebuild what is generated here: the README's picture, by running its example; the pages of maps and experiments."""

import os
import re
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

ROOT = Path(__file__).resolve().parents[1]


def readme_examples() -> list[str]:
    """The Python blocks of the README."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run_readme(file: Path) -> None:
    """Run the examples in a folder of their own, and keep the figure that the first one draws."""
    import matplotlib.pyplot as plt

    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            plt.figure(figsize=(5, 5), layout="constrained")
            for example in readme_examples():
                exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
            plt.axis("equal")
            file.parent.mkdir(parents=True, exist_ok=True)
            plt.savefig(file, dpi=120)
        finally:
            os.chdir(home)


if __name__ == "__main__":
    mpl.use("Agg")
    run_readme(ROOT / "docs" / "images" / "readme.png")
    import maps

    maps.main()
    sys.path.insert(0, str(ROOT / "experiments"))
    import report

    report.main()
