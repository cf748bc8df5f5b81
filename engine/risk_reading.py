"""Risk beyond the live view: use of the limits, concentration, reservations, past trips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from accounts.models import Portfolio
from allocation.correlations import correlations_recent
from allocation.domain.correlation import Correlations, correlated_top
from allocation.domain.limits import gross_cap
from allocation.models import BreakerTrip, Follow, Reservation
from core.decimals import ZERO
from core.types import Policy
from engine.view_books import position_notional
from engine.view_context import ViewContext

HUNDRED: Final = Decimal(100)
PAST_TRIPS: Final = 10
RESERVATIONS_SHOWN: Final = 30


@dataclass(frozen=True, slots=True)
class Use:
    """One limit and how much of it is used; in percent of equity, or as a count.

    :param note: what uses the most of it
    :param ends: what happens at the limit
    """

    label: str
    used: Decimal
    limit: Decimal
    ends: str
    note: str = ""
    is_count: bool = False

    @property
    def share_pct(self) -> Decimal:
        """Use ÷ limit in percent."""
        return self.used / self.limit * HUNDRED if self.limit else ZERO

    @property
    def close(self) -> bool:
        """Whether 80 % or more of it is used."""
        return self.share_pct >= 80


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole: an instrument or a trader, with its notional and share."""

    name: str
    notional: Decimal  # signed for an instrument, gross for a trader
    share_pct: Decimal
    follow: Follow | None = None


@dataclass(frozen=True, slots=True)
class Concentration:
    """How the exposure is spread.

    :param effective: effective number of positions, 1 ÷ Σ share² (the inverse of the Herfindahl index);
        0 with nothing open
    """

    gross: Decimal
    instruments: tuple[Part, ...]
    traders: tuple[Part, ...]
    effective: Decimal

    @property
    def count(self) -> int:
        """How many instruments are open."""
        return len(self.instruments)


@dataclass(frozen=True, slots=True)
class Risk:
    """What is known of a portfolio's risk beyond the live view."""

    uses: tuple[Use, ...]
    concentration: Concentration
    reservations: tuple[Reservation, ...]
    past_trips: tuple[BreakerTrip, ...]


def risk_read(*, portfolio: Portfolio, context: ViewContext) -> Risk:
    """Return it, from a reading of the view and two queries more."""
    granted = (Reservation.Status.GRANTED, Reservation.Status.WAITING)
    open_ones = Reservation.objects.filter(portfolio=portfolio, status__in=granted)
    past = BreakerTrip.objects.filter(portfolio=portfolio, reset_at__isnull=False)
    notionals = {p.underlying: position_notional(context, p) for p in context.books.positions}
    return Risk(
        uses=_uses(context, notionals),
        concentration=_concentration(context, notionals),
        reservations=tuple(open_ones.order_by("status", "priority", "requested_at")[:RESERVATIONS_SHOWN]),
        past_trips=tuple(past.select_related("follow__trader").order_by("-reset_at")[:PAST_TRIPS]),
    )


def _uses(context: ViewContext, notionals: dict[str, Decimal]) -> tuple[Use, ...]:
    limits, equity = context.limits, context.valuation.equity
    cap = gross_cap(limits=limits, policy=Policy(context.portfolio.policy))

    def percent(amount: Decimal) -> Decimal:
        return amount / equity * HUNDRED if equity > 0 else ZERO

    largest = max(notionals, key=lambda name: abs(notionals[name]), default="")
    size = percent(abs(notionals[largest])) if largest else ZERO
    together = correlated_top(exposures=notionals, correlations=_correlations(context))
    opening = sum(not order.reduce_only for order in context.orders)
    return (
        Use("Largest position", size, limits.max_position * HUNDRED, "Entries are cut to fit", largest),
        Use("Largest asset", size, limits.max_asset_weight * HUNDRED, "Entries are cut to fit", largest),
        Use(
            "Three that move together", percent(together.total), limits.max_correlated * HUNDRED,
            "Entries are cut to fit", _together_note(together.top, guessed=together.guessed),
        ),
        Use(
            "Gross exposure", percent(sum(map(abs, notionals.values()), ZERO)), cap * HUNDRED,
            "All entries are scaled down",
        ),
        Use(
            "Open positions", Decimal(len(notionals)), Decimal(limits.max_positions),
            "New instruments are denied, nothing is evicted", is_count=True,
        ),
        Use(
            "Open entry orders", Decimal(opening), Decimal(limits.max_open_orders),
            "New entries are denied, exits pass", is_count=True,
        ),
    )  # fmt: skip


def _correlations(context: ViewContext) -> Correlations:
    if context.world is None:
        return Correlations()
    codes = {position.underlying: position.instrument_id for position in context.books.positions}
    return correlations_recent(world=context.world, codes=codes, now=context.now)


def _together_note(names: Sequence[str], *, guessed: bool) -> str:
    note = ", ".join(names)
    return f"{note}; too little is known of some, so they count as together" if note and guessed else note


def _concentration(context: ViewContext, notionals: dict[str, Decimal]) -> Concentration:
    gross = sum(map(abs, notionals.values()), ZERO)
    by_follow: defaultdict[int | None, Decimal] = defaultdict(lambda: ZERO)
    for position in context.books.positions:
        price = context.mark_price(position.instrument_id)
        for part in position.slices.all():
            by_follow[part.follow_id] += abs(part.cost if price is None else part.quantity * price)
    total = sum(by_follow.values(), ZERO)
    instruments = sorted(
        ((name, amount) for name, amount in notionals.items() if amount),
        key=lambda entry: (-abs(entry[1]), entry[0]),
    )
    traders = sorted(
        ((follow_id, amount) for follow_id, amount in by_follow.items() if amount),
        key=lambda entry: -entry[1],
    )
    return Concentration(
        gross=gross,
        instruments=tuple(Part(name, amount, _share(abs(amount), gross)) for name, amount in instruments),
        traders=tuple(_trader_part(context, follow_id, amount, total) for follow_id, amount in traders),
        effective=effective_number(abs(amount) for amount in notionals.values()),
    )


def _trader_part(context: ViewContext, follow_id: int | None, amount: Decimal, total: Decimal) -> Part:
    follow = context.follows.get(follow_id) if follow_id is not None else None
    name = follow.trader.name if follow else "Mine"
    return Part(name, amount, _share(amount, total), follow)


def _share(amount: Decimal, total: Decimal) -> Decimal:
    return amount / total * HUNDRED if total else ZERO


def effective_number(amounts: Iterable[Decimal]) -> Decimal:
    """Return 1 ÷ Σ share²: four equal amounts count as 4, one that is nearly all counts as little over 1.

    Source: inverse Herfindahl-Hirschman index, Hannah and Kay (1977), "Concentration in Modern Industry".
    """
    sizes = [amount for amount in amounts if amount > 0]
    total = sum(sizes, ZERO)
    return total * total / sum((size * size for size in sizes), ZERO) if total else ZERO
