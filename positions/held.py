"""A locked position with its slices while something is booked into them.

Rows change in memory and are written once by ``save``. The caller holds the capital row and the position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from core.decimals import ZERO
from markets.models import Instrument
from positions.domain.booking import Book, fill_apply
from positions.domain.margin import hour_floor
from positions.domain.status import PositionStatus, status_check
from positions.locks import position_lock
from positions.models import Position, PositionSlice, SliceEntry

_POSITION_FIELDS = (
    "status", "quantity", "cost", "margin", "margin_rate", "realized_pnl", "fees", "funding", "funded_until",
    "closed_at", "closed_world_at",
)  # fmt: skip
_SLICE_FIELDS = ("quantity", "cost", "realized_pnl", "fees", "funding")


@dataclass(slots=True)
class HeldPosition:
    """One open position, its slices by follow (None: the owner's), and the entries made so far."""

    position: Position
    slices: dict[int | None, PositionSlice]
    entries: list[SliceEntry] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is left, neither net nor in any slice."""
        return self.position.quantity == 0 and all(part.quantity == 0 for part in self.slices.values())

    def slice_of(self, follow_id: int | None) -> PositionSlice:
        """Return a follow's slice, storing an empty one if it has none yet."""
        if follow_id not in self.slices:
            self.slices[follow_id] = PositionSlice.objects.create(position=self.position, follow_id=follow_id)
        return self.slices[follow_id]

    def slice_book(
        self, *, follow_id: int | None, quantity: Decimal, notional: Decimal, entry: SliceEntry
    ) -> None:
        """Book a signed quantity for a signed notional into a follow's slice and keep the entry.

        ``entry`` brings kind, price, fee and times; slice, quantities and realized P&L are set here.
        """
        part = self.slice_of(follow_id)
        booked = fill_apply(book=Book(part.quantity, part.cost), quantity=quantity, notional=notional)
        part.quantity, part.cost = booked.quantity, booked.cost
        part.realized_pnl += booked.realized
        part.fees += entry.fee
        entry.slice = part
        entry.quantity = quantity
        entry.notional = notional
        entry.realized_pnl = booked.realized
        self.entries.append(entry)

    def status_set(self, *, status: PositionStatus, now: datetime, world_at: datetime) -> None:
        """Move the position along its table; a closed one gets its times."""
        after = status_check(before=self.position.status, after=status)
        if after == PositionStatus.CLOSED and self.position.closed_at is None:
            self.position.closed_at, self.position.closed_world_at = now, world_at
        self.position.status = after.value

    def save(self) -> None:
        """Write position, slices and new entries."""
        self.position.save(update_fields=list(_POSITION_FIELDS))
        PositionSlice.objects.bulk_update(self.slices.values(), _SLICE_FIELDS)
        SliceEntry.objects.bulk_create(self.entries)
        self.entries = []


def held_lock(*, portfolio_id: int, underlying: str) -> HeldPosition | None:
    """Lock and return the open position of an underlying with its slices, None if there is none."""
    position = position_lock(portfolio_id=portfolio_id, underlying=underlying)
    return None if position is None else held_of(position=position)


def held_of(*, position: Position) -> HeldPosition:
    """Return a locked position with its slices."""
    rows = PositionSlice.objects.filter(position=position).order_by("pk")
    return HeldPosition(position=position, slices={row.follow_id: row for row in rows})


def held_open(
    *,
    portfolio_id: int,
    instrument: Instrument,
    policy: str,
    margin_rate: Decimal,
    status: PositionStatus,
    run: int,
    now: datetime,
    world_at: datetime,
) -> HeldPosition:
    """Store a new, still empty position. Its funding counts from the last full hour of the world."""
    position = Position.objects.create(
        portfolio_id=portfolio_id,
        instrument=instrument,
        underlying=instrument.underlying,
        policy=policy,
        status=status.value,
        quantity=ZERO,
        margin_rate=margin_rate,
        funded_until=hour_floor(world_at),
        run=run,
        opened_at=now,
        opened_world_at=world_at,
    )
    return HeldPosition(position=position, slices={})
