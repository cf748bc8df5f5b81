"""DESIGN: the order of packages holds for tables and for pure code, where import-linter does not look."""

import ast
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models

ROOT = Path(__file__).resolve().parent.parent.parent
ORDER = ["core", "accounts", "alerts", "markets", "traders", "allocation", "execution", "positions", "engine"]
PURE_FILES = sorted([*ROOT.glob("core/*.py"), *ROOT.glob("*/domain/*.py")])


def relations(app: str) -> list[tuple[str, str]]:
    """Return (field, package it points to) for each relation declared in the models of `app`."""
    return [
        (f"{model.__name__}.{field.name}", field.related_model._meta.app_label)
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey | models.OneToOneField | models.ManyToManyField)
    ]


@pytest.mark.parametrize("app", ORDER[1:])
def test_foreign_keys_point_down(app: str) -> None:
    """DESIGN: a table refers only to tables of its own package and of packages below."""
    below = {*ORDER[: ORDER.index(app) + 1], "auth", "contenttypes", "knox"}
    upward = [f"{field} -> {target}" for field, target in relations(app) if target not in below]
    assert upward == []


def test_there_are_foreign_keys_to_look_at() -> None:
    """The test above looks at something."""
    assert sum(len(relations(app)) for app in ORDER[1:]) > 10


def imported_packages(path: Path) -> set[str]:
    """Return the top-level packages a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            parts = (node.module or "").split(".")
            found.add(".".join(parts[:2]) if parts[0] in ORDER[1:] else parts[0])
    return found


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_code_imports_only_pure_code(path: Path) -> None:
    """DESIGN: a domain knows the standard library, core, and domains of its own and lower packages."""
    package = path.relative_to(ROOT).parts[0]
    domains = {f"{lower}.domain" for lower in ORDER[1 : ORDER.index(package) + 1]}
    assert imported_packages(path) - domains - {"core"} - sys.stdlib_module_names == set()


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_code_reads_no_clock_and_draws_no_lots(path: Path) -> None:
    """DESIGN 12: time, randomness and ids are passed in; only core/clock.py and core/ids.py make them."""
    if path.parts[-2:] in {("core", "clock.py"), ("core", "ids.py")}:
        return
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    }
    forbidden = {"datetime.now", "datetime.utcnow", "time.time", "time.monotonic", "uuid4", "uuid.uuid4"}
    drawn = {call for call in calls if call.startswith(("random.", "secrets."))}
    assert (calls & forbidden) | drawn == set()
