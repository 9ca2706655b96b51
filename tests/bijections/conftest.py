import pytest

from tests.bijections.registry import ENTRIES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of one entry of the registry follow one another: they run the same compiled programs."""
    of_entries = {
        place: ENTRIES.index(item.callspec.params["entry"])
        for place, item in enumerate(items)
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "entry" in item.callspec.params
    }
    ordered = [items[place] for place in sorted(of_entries, key=of_entries.__getitem__)]
    for place, item in zip(of_entries, ordered, strict=True):
        items[place] = item
