"""What a trader changed, snapshot by snapshot, and why nothing of a change was copied (BEY-3).

A change is told per underlying, in its units, signed. A snapshot whose quantities changed holds at least one,
unless it is the first of its run and empty: also where only the instruments beneath an underlying changed, or
where a position was closed and opened again just as large between two reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from core.decimals import QUANTITY_STEP, ZERO, to_step
from core.instruments import underlying_of
from engine.domain.copy_types import FollowState


class Change(StrEnum):
    """What a trader did in one underlying."""

    OPENED = "opened"
    ADDED = "added"
    REDUCED = "reduced"
    CLOSED = "closed"
    FLIPPED = "flipped"
    REOPENED = "reopened"  # closed and opened again on one side, however large
    REARRANGED = "rearranged"  # other instruments, the same in all


@dataclass(frozen=True, slots=True)
class Seen:
    """One position as a snapshot has it: quantity in units of ``code``, signed."""

    code: str
    quantity: Decimal
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeenBook:
    """What one snapshot said; number 0 stands for the nothing before the first."""

    snapshot_id: int
    world_at: datetime
    received_at: datetime
    positions: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class TraderChange:
    """One change of one underlying between two snapshots; quantities in units of the underlying, signed."""

    snapshot_id: int
    underlying: str
    change: Change
    before: Decimal
    after: Decimal
    world_at: datetime
    received_at: datetime


def changes_between(*, books: Sequence[SeenBook]) -> tuple[TraderChange, ...]:
    """Return every change from each book to the next, oldest first, by underlying."""
    return tuple(
        change for before, after in pairwise(books) for change in _changes(before=before, after=after)
    )


def _changes(*, before: SeenBook, after: SeenBook) -> Iterable[TraderChange]:
    old, new = _by_underlying(before.positions), _by_underlying(after.positions)
    for underlying in sorted({*old, *new}):
        was, now = old.get(underlying, ()), new.get(underlying, ())
        change = _change(was=was, now=now, read_at=before.world_at)
        if change is not None:
            yield TraderChange(
                snapshot_id=after.snapshot_id,
                underlying=underlying,
                change=change,
                before=_net(was),
                after=_net(now),
                world_at=after.world_at,
                received_at=after.received_at,
            )


def _by_underlying(positions: Iterable[Seen]) -> dict[str, tuple[Seen, ...]]:
    found: dict[str, tuple[Seen, ...]] = {}
    for position in positions:
        if position.quantity:
            underlying = underlying_of(position.code)[0]
            found[underlying] = (*found.get(underlying, ()), position)
    return found


def _net(positions: Iterable[Seen]) -> Decimal:
    total = sum((part.quantity * underlying_of(part.code)[1] for part in positions), ZERO)
    return to_step(total, QUANTITY_STEP)


def _change(*, was: tuple[Seen, ...], now: tuple[Seen, ...], read_at: datetime) -> Change | None:
    before, after = _net(was), _net(now)
    if before * after < 0:
        return Change.FLIPPED
    if before == 0 and after == 0:
        return Change.REARRANGED if _quantities(was) != _quantities(now) else None
    if before == 0:
        return Change.OPENED
    if after == 0:
        return Change.CLOSED
    if _reopened(was=was, now=now, read_at=read_at):
        return Change.REOPENED
    if before == after:
        return Change.REARRANGED if _quantities(was) != _quantities(now) else None
    return Change.ADDED if abs(after) > abs(before) else Change.REDUCED


def _quantities(positions: Iterable[Seen]) -> dict[str, Decimal]:
    return {position.code: position.quantity for position in positions}


def _reopened(*, was: Iterable[Seen], now: Iterable[Seen], read_at: datetime) -> bool:
    """Tell whether a position of now was opened after the last read, though one of its code was open then."""
    opened = {position.code: position.opened_at for position in was}
    return any(
        position.opened_at is not None
        and opened.get(position.code) is not None
        and position.opened_at != opened[position.code]
        and position.opened_at > read_at
        for position in now
    )


def why_left_alone(
    *, change: TraderChange, state: FollowState, ignored: Mapping[str, Decimal], newest_id: int, usable: bool
) -> str:
    """Say why a change left nothing to decide about its underlying: the end of a sentence about its trader.

    :param ignored: what of the trader's quantities is not copied, by underlying
    :param newest_id: the snapshot that was decided on; a change before it may be over again
    :param usable: exposure can be scaled from the trader's equity
    """
    if state is FollowState.LOST:
        return "cannot be read now; what it changed is decided once it can."
    if state in (FollowState.LEAVING, FollowState.STOPPED):
        return "is not copied any more, and nothing of it is held."
    if not usable:
        return "reports no equity, so its exposure cannot be scaled; what is held stays."
    if ignored.get(change.underlying):
        return (
            "had it open before you followed or resumed it, or an exit of yours closed your part: that is "
            "left to it, and only what it opens anew is copied."
        )
    if change.change is Change.REARRANGED:
        return "holds as much of it as before, in other instruments."
    if change.snapshot_id != newest_id:
        return "changed it back, or on, before it was decided; what it holds now counts."
    return "left nothing of it to copy."
