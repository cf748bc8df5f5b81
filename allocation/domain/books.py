"""A trader's book: what it holds of each underlying, valued at today's marks.

A book is built from the snapshot in which one of the trader's quantities last changed (its
*basis*) and carried forward by marks alone. So a deposit or a withdrawal of the trader's own,
which changes its equity but no quantity, moves nothing until the trader trades again.

Units: quantities are in units of the *underlying* (1 kBONK counts as 1,000 BONK), signed, long
positive; notionals and equity are in quote currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.decimals import QUANTITY_STEP, ZERO, to_step
from core.instruments import underlying_of


@dataclass(frozen=True, slots=True)
class BasisLeg:
    """One position as the basis snapshot reported it, in units of its own instrument.

    :param quantity: signed, in units of the instrument ``code``
    :param entry_price: the trader's average entry per unit of ``code``; None where not reported
    :param mark_price: mark per unit of ``code`` at the time of the snapshot
    """

    code: str
    quantity: Decimal
    mark_price: Decimal
    entry_price: Decimal | None = None
    opened_at: datetime | None = None
    first_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TraderLeg:
    """What a trader holds of one underlying, over all its instruments.

    :param quantity: signed, in units of the underlying, never 0
    :param notional: ``quantity`` at the current mark, same sign
    :param entry_price: average entry per unit of the underlying; None where not reported
    :param opened_at: earliest opening the trader reported, else when we first saw it
    """

    underlying: str
    quantity: Decimal
    notional: Decimal
    entry_price: Decimal | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TraderBook:
    """A trader's equity and legs by underlying, both at the same marks."""

    equity: Decimal
    legs: Mapping[str, TraderLeg]

    @property
    def usable(self) -> bool:
        """Tell whether exposure ratios can be taken from this book: only with equity above zero."""
        return self.equity > 0

    def reopened_since(self, *, before: TraderBook, read_at: datetime) -> frozenset[str]:
        """Return of which underlyings nothing that was open in the book ``before`` is open any more.

        They were closed and opened again between two reads, which looks like a mere change of quantity. Told
        by the earliest opening the trader reports: another one than before, and later than that read. Where
        nobody reports openings nothing is told apart.

        :param read_at: world time at which ``before`` was read
        """
        return frozenset(
            underlying
            for underlying, leg in self.legs.items()
            if (old := before.legs.get(underlying)) is not None
            and old.opened_at is not None
            and leg.opened_at is not None
            and leg.opened_at != old.opened_at
            and leg.opened_at > read_at
        )


def book_at_marks(*, equity: Decimal, legs: Sequence[BasisLeg], marks: Mapping[str, Decimal]) -> TraderBook:
    """Carry a basis snapshot forward to the current marks.

    equity now = basis equity + Σ quantity · (mark now - mark then), notional = quantity · mark now.
    Spot and perpetual positions gain and lose alike, so one formula serves both.

    :param marks: current mark per unit of each instrument code; a code without one costs what its underlying
        does (WBTC as BTC), and keeps its basis mark where that has none either
    """
    now = {leg.code: _mark_now(leg, marks) for leg in legs}
    gained = sum((leg.quantity * (now[leg.code] - leg.mark_price) for leg in legs), ZERO)
    by_underlying: dict[str, list[BasisLeg]] = {}
    for leg in legs:
        by_underlying.setdefault(underlying_of(leg.code)[0], []).append(leg)
    merged = (_merged(underlying, group, now) for underlying, group in sorted(by_underlying.items()))
    return TraderBook(equity=equity + gained, legs={leg.underlying: leg for leg in merged if leg is not None})


def _mark_now(leg: BasisLeg, marks: Mapping[str, Decimal]) -> Decimal:
    underlying, units = underlying_of(leg.code)
    if leg.code not in marks and underlying in marks:
        return marks[underlying] * units
    return marks.get(leg.code, leg.mark_price)


def _merged(underlying: str, legs: Iterable[BasisLeg], marks: Mapping[str, Decimal]) -> TraderLeg | None:
    """Net the instruments of one underlying into one leg, or None where they cancel out (to 12 places).

    The price of the net is the average mark weighted by size, so the notional always has the sign
    of the quantity, also for a long on one market against a slightly smaller short on another.
    """
    parts = [
        (leg, leg.quantity * underlying_of(leg.code)[1], leg.quantity * marks[leg.code])
        for leg in legs
        if leg.quantity
    ]
    quantity = to_step(sum((part for _, part, _ in parts), ZERO), QUANTITY_STEP)
    if quantity == 0:
        return None
    price = sum((abs(n) for _, _, n in parts), ZERO) / sum((abs(q) for _, q, _ in parts), ZERO)
    net_side = [(leg, part) for leg, part, _ in parts if (part > 0) == (quantity > 0)]
    return TraderLeg(
        underlying=underlying,
        quantity=quantity,
        notional=quantity * price if len(parts) > 1 else parts[0][2],
        entry_price=_average_entry(net_side),
        opened_at=min(
            (at for leg, _ in net_side if (at := leg.opened_at or leg.first_seen_at)), default=None
        ),
    )


def _average_entry(parts: Sequence[tuple[BasisLeg, Decimal]]) -> Decimal | None:
    """Average entry per unit of underlying over ``(leg, quantity in underlying)``; None if one is unknown."""
    cost = ZERO
    for leg, _ in parts:
        if leg.entry_price is None:
            return None
        cost += leg.quantity * leg.entry_price
    return cost / sum((quantity for _, quantity in parts), ZERO)
