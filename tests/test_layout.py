"""What import contracts cannot say: no module uses another's private names, and no code asks what an object has."""

import ast
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parent.parent / "src" / "pushforward"
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}  # public, whatever they are called
OWN = {"self", "cls"}


def modules() -> list[Path]:
    return sorted(SOURCES.rglob("*.py"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined(tree: ast.Module) -> set[str]:
    """Names that a module gives to functions, classes, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def is_own(node: ast.expr) -> bool:
    """Whether it is the object itself, or its base class."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in OWN


def borrowed(path: Path, tree: ast.Module) -> list[str]:
    """Private names of other modules that a module uses."""
    room, found, known = path.parent, [], defined(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pushforward"):
            parts = (node.module or "").split(".")
            home = SOURCES.joinpath(*parts[1:]).parent
            if any(is_private(part) for part in parts) and home != room:
                found.append(f"{node.lineno}: from {node.module}")
            found += [
                f"{node.lineno}: {alias.name} of {node.module}"
                for alias in node.names
                if is_private(alias.name) and not (home / parts[-1] / f"{alias.name}.py").exists()
            ]
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            found += [f"{node.lineno}: .{node.attr}"] if node.attr not in NAMED_TUPLE | known else []
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCES)))
def test_modules_keep_to_themselves_and_ask_no_object_what_it_has(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not borrowed(path, tree), "private names of other modules; make them public, or do without"
    asking = [
        f"{node.lineno}: {node.func.id}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (
            node.func.id == "hasattr"
            or (node.func.id == "getattr" and len(node.args) == 3 and isinstance(node.args[1], ast.Constant))
        )
    ]
    assert not asking, "a type, a protocol or a declared attribute says what an object is"
