"""What files written before a renaming call by other names, and how it is read today.

A class or field that is renamed gets a line here, so that models saved before still load; Python has no aliases.
Everything in a file stays under the file's own names: tensors are found by the paths that the file has.
"""

from __future__ import annotations

from typing import Any

# classes: the name in older files, to the one of today
CLASSES: dict[str, str] = {"bijections.Stack": "bijections.Scan"}

# fields, by the class's name of today: the name in older files, to the one of today, or None for one that is gone
FIELDS: dict[str, dict[str, str | None]] = {
    "trees.Frozen": {"value": "content"},
    "bijections.Scale": {"bound": "max_log_scale"},
    "bijections.RationalQuadraticSpline": {"bound": "half_width"},
    "bijections.CircularShift": {"bound": "half_width"},
    "networks.Lipschitz": {"bound": "lipschitz"},
}

# fields that older files lack, by the class's name of today, and the plain value that those models have
ADDED: dict[str, dict[str, Any]] = {}

# states, by the class's name of today or by its room for all classes there: a path of keys joined by "/" as older files
# have it, such as "fitted/columns_/kinds", to the last key's name of today, or None for what is gone
STATES: dict[str, dict[str, str | None]] = {
    "estimators": {
        "fitted/columns_/whole": "integer",
        "fitted/condition_columns_/whole": "integer",
        "params/flow_options/bound": "lipschitz",
    },
}


def field_name(class_name: str, field: str, known: set[str]) -> str | None:
    """What a field of a file is called today, or None for one that is gone.

    Arguments:
        class_name: of today.
        field: as the file has it.
        known: the fields that the class has; one of them is never taken for an older name.
    """
    return field if field in known else FIELDS.get(class_name, {}).get(field, field)


def state_of_today(class_name: str, state: dict[str, Any]) -> dict[str, Any]:
    """A state with the keys of today.

    Arguments:
        class_name: of today.
        state: names to values and plain dicts of them, as the file has it.
    """
    room = class_name.partition(".")[0]
    renamed = {**STATES.get(room, {}), **STATES.get(class_name, {})}
    return _rename(state, renamed, "") if renamed else state


def _rename(state: dict[Any, Any], renamed: dict[str, str | None], above: str) -> dict[Any, Any]:
    out = {}
    for key, value in state.items():
        path = f"{above}{key}"
        today = renamed.get(path, key)
        if today is not None:
            out[today] = _rename(value, renamed, f"{path}/") if isinstance(value, dict) else value
    return out
