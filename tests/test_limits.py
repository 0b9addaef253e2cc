"""Fail when a module or a function outgrows the house limits."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "evals", "training", "tabs", "tools")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
APP = ROOT / "app.py"
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    """Return a file's name as the reader knows it."""
    return path.relative_to(ROOT).as_posix()


def limit(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the function may have: a tab's builder gets more."""
    return 80 if function.name.startswith("build_") else 40


@pytest.mark.parametrize("path", [APP, *SOURCES], ids=name_of)
def test_size(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTION) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < limit(node), node.name


def test_app_is_a_composition_root() -> None:
    assert APP.read_text(encoding="utf-8").count("\n") < 80
