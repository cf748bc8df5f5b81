"""What a position may become.

opening → active → partial exit → closing → closed (EXE-7).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final


class PositionStatus(StrEnum):
    """Statuses of a position; the values are those of ``positions.models.Position.Status``."""

    OPENING = "opening"
    ACTIVE = "active"
    PARTIAL_EXIT = "partial_exit"
    CLOSING = "closing"
    CLOSED = "closed"


_P = PositionStatus
TRANSITIONS: Final[Mapping[PositionStatus, frozenset[PositionStatus]]] = {
    _P.OPENING: frozenset({_P.ACTIVE, _P.PARTIAL_EXIT, _P.CLOSING, _P.CLOSED}),
    _P.ACTIVE: frozenset({_P.PARTIAL_EXIT, _P.CLOSING, _P.CLOSED}),
    # Back to active: it was enlarged again.
    _P.PARTIAL_EXIT: frozenset({_P.ACTIVE, _P.CLOSING, _P.CLOSED}),
    # Back to partial exit: the closing order ended before all was closed. Back to active: a fill of an
    # entry that was cancelled came late, or slices opened by a transfer keep the position alive.
    _P.CLOSING: frozenset({_P.ACTIVE, _P.PARTIAL_EXIT, _P.CLOSED}),
    _P.CLOSED: frozenset(),  # a later fill opens a new position
}


def status_check(*, before: str, after: str) -> PositionStatus:
    """Return the status after a change that the table allows; staying is always allowed.

    :raises ValueError: the table has no such arrow
    """
    source, target = PositionStatus(before), PositionStatus(after)
    if target != source and target not in TRANSITIONS[source]:
        msg = f"a position that is {source} cannot become {target}"
        raise ValueError(msg)
    return target


def status_after_fill(
    *, status: str, before: Decimal, after: Decimal, empty: bool, order_done: bool, closing: bool
) -> PositionStatus:
    """Return a position's status after a fill.

    :param before: signed quantity before the fill, ``after`` the one after it
    :param empty: nothing is left, neither net nor in any slice
    :param order_done: the order of this fill is filled completely
    :param closing: the order means to close the position
    """
    if empty:
        return PositionStatus.CLOSED
    if closing:
        return PositionStatus.ACTIVE if after == 0 else PositionStatus.CLOSING
    if abs(after) < abs(before) and after * before >= 0:
        return PositionStatus.ACTIVE if after == 0 else PositionStatus.PARTIAL_EXIT
    if status == PositionStatus.OPENING and not order_done:
        return PositionStatus.OPENING
    return PositionStatus.ACTIVE


def status_after_order(*, status: str) -> PositionStatus:
    """Return a position's status once an order of its ended without being filled completely."""
    return {
        PositionStatus.OPENING: PositionStatus.ACTIVE,
        PositionStatus.CLOSING: PositionStatus.PARTIAL_EXIT,
    }.get(PositionStatus(status), PositionStatus(status))
