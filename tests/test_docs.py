"""The pages of docs cover what there is."""

import importlib.util

from conftest import ROOT


def test_every_map_is_on_the_page_of_maps() -> None:
    spec = importlib.util.spec_from_file_location("maps", ROOT / "docs" / "maps.py")
    assert spec is not None and spec.loader is not None
    maps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maps)
    assert maps.undescribed() == set()
    page = (ROOT / "docs" / "maps.md").read_text()
    for name in maps.MAPS:
        assert f"## {name}\n" in page and (ROOT / "docs" / "images" / "maps" / f"{name}.png").is_file()
