"""What an API token may be used for. Pure.

A scope opens one part of the API and nothing beside it: a token that trades and looks needs both named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from core.errors import InputError


class Scope(StrEnum):
    """One part of the API."""

    READ = "read"
    TRADE = "trade"
    CAPITAL = "capital"
    SETTINGS = "settings"
    KEYS = "keys"
    AGENTS = "agents"


SCOPE_TEXTS: Final[Mapping[Scope, str]] = MappingProxyType(
    {
        Scope.READ: "Look at portfolios and everything in them; change nothing.",
        Scope.TRADE: "Commands: orders, closing, exits, conflicts, breakers, pausing, emergency stop.",
        Scope.CAPITAL: "Ask for capital, give it back, and place the orders that use it.",
        Scope.SETTINGS: "Portfolios, their settings and limits, following traders, paper cash.",
        Scope.KEYS: "Keys of exchange accounts, connecting a real account, and API tokens.",
        Scope.AGENTS: "Agents that post their positions, with their secrets.",
    }
)


def scopes_clean(*, wanted: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes, each once, in the order of ``Scope``.

    :raises InputError: none is named, or one that is not known
    """
    names = set(wanted)
    known = {scope.value for scope in Scope}
    if unknown := sorted(names - known):
        raise InputError(f"There is no scope “{unknown[0]}”; there are {', '.join(Scope)}.", field="scopes")
    if not names:
        raise InputError(f"Name at least one scope: {', '.join(Scope)}.", field="scopes")
    return tuple(scope for scope in Scope if scope.value in names)
