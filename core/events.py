"""What is said on a portfolio's socket: one snapshot, then numbered changes to it.

A view is one JSON document made of *records* (replaced whole) and *keyed* sections (one entity
replaced or dropped at a time). ``view_diff`` and ``view_apply`` are each other's inverse:
``view_apply(old, view_diff(old, new)) == new``. ``static/js/state.js`` is the browser's twin.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, TypedDict

RECORD_SECTIONS: Final = ("portfolio", "kpis", "capital", "breakers", "curve", "health")
KEYED_SECTIONS: Final = ("traders", "positions", "conflicts", "orders", "commands", "activity")

PortfolioView = dict[str, dict[str, Any]]


class SnapshotMessage(TypedDict):
    """The whole view; ``seq`` is the number of the last change it contains."""

    type: Literal["snapshot"]
    epoch: str
    seq: int
    view: PortfolioView


class ChangeMessage(TypedDict):
    """Change number ``seq``: entities to set, entities to drop."""

    type: Literal["change"]
    epoch: str
    seq: int
    at: str
    set: dict[str, dict[str, Any]]
    drop: dict[str, list[str]]


class ErrorMessage(TypedDict):
    """An answer to something the client sent that makes no sense."""

    type: Literal["error"]
    detail: str


class PongMessage(TypedDict):
    """The answer to a ping."""

    type: Literal["pong"]
    at: str


class ClientMessage(TypedDict):
    """What a client may send."""

    type: Literal["ping", "resync"]
    seq: NotRequired[int]


class ViewChange(TypedDict):
    """The difference between two views."""

    set: dict[str, dict[str, Any]]
    drop: dict[str, list[str]]


def view_diff(old: PortfolioView, new: PortfolioView) -> ViewChange:
    """Return what turns ``old`` into ``new``; both empty when they are equal."""
    to_set: dict[str, dict[str, Any]] = {}
    to_drop: dict[str, list[str]] = {}
    for section in RECORD_SECTIONS:
        if old[section] != new[section]:
            to_set[section] = new[section]
    for section in KEYED_SECTIONS:
        before, after = old[section], new[section]
        changed = {key: entity for key, entity in after.items() if before.get(key) != entity}
        gone = [key for key in before if key not in after]
        if changed:
            to_set[section] = changed
        if gone:
            to_drop[section] = gone
    return {"set": to_set, "drop": to_drop}


def view_apply(view: PortfolioView, change: ViewChange | ChangeMessage) -> PortfolioView:
    """Return ``view`` with ``change`` applied; the argument is left as it was."""
    result = dict(view)
    for section, value in change["set"].items():
        result[section] = value if section in RECORD_SECTIONS else {**result[section], **value}
    for section, keys in change["drop"].items():
        gone = set(keys)
        result[section] = {key: entity for key, entity in result[section].items() if key not in gone}
    return result
