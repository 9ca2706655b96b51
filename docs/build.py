"""Rebuild what is generated here: the README's picture, by running its example; the pages of maps and experiments."""

import os
import re
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

ROOT = Path(__file__).resolve().parents[1]


def readme_example() -> str:
    """The Python block of the README."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        raise SystemExit(f"README.md has {len(blocks)} Python blocks; expected one, the example with the picture")
    return str(blocks[0])


def draw_readme_picture(file: Path) -> None:
    """Run the example in a folder of its own and keep its figure."""
    import matplotlib.pyplot as plt

    code = compile(readme_example(), "README.md", "exec")
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            plt.figure(figsize=(5, 5), layout="constrained")
            exec(code, {"__name__": "readme"})
            plt.axis("equal")
            file.parent.mkdir(parents=True, exist_ok=True)
            plt.savefig(file, dpi=120)
        finally:
            os.chdir(home)


if __name__ == "__main__":
    mpl.use("Agg")
    draw_readme_picture(ROOT / "docs" / "images" / "readme.png")
    import maps

    maps.main()
    sys.path.insert(0, str(ROOT / "experiments"))
    import report

    report.main()
