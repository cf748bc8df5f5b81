"""Finding strategies: every module of this package is imported once, and registers what it holds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from core.errors import InputError
from traders import strategies
from traders.strategies.base import Strategy, strategies_registered


@lru_cache(maxsize=1)
def strategies_all() -> Mapping[str, Strategy]:
    """Return every strategy by name."""
    for module in pkgutil.iter_modules(strategies.__path__, f"{strategies.__name__}."):
        importlib.import_module(module.name)
    return strategies_registered()


def strategy_get(*, name: str) -> Strategy:
    """Return a strategy by its name.

    :raises InputError: there is none
    """
    known = strategies_all()
    if name not in known:
        names = ", ".join(sorted(known))
        raise InputError(f"There is no strategy named “{name}”. Known strategies: {names}.", field="key")
    return known[name]
