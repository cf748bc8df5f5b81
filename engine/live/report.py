"""What a portfolio's shadow would have done with real money, from the books it kept on paper (BEY-8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Sum

from accounts.models import LiveAccount, Portfolio
from allocation.models import BreakerTrip
from core.decimals import ONE, ZERO, plain
from engine.live.accounts import live_get
from engine.models import Decision
from execution.models import Fill, Order
from positions.models import EquityPoint, Position, Valuation


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """A shadow from its beginning to now, or to the moment it went live.

    Money is in the account's currency; returns and drawdown are fractions of the unit value, so that flows
    do not count.

    :param too_small: decisions to leave a difference alone because it is below the venue's minimum
    """

    venue: str
    since: datetime
    until: datetime
    assigned: Decimal
    equity: Decimal
    orders: int
    filled: int
    rejected: int
    unfilled: int
    fills: int
    turnover: Decimal
    fees: Decimal
    realized: Decimal
    returned: Decimal
    worst_drawdown: Decimal
    too_small: int
    breakers: tuple[str, ...]

    @property
    def lasted(self) -> timedelta:
        """How long it has run."""
        return self.until - self.since

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The report for people: what, and how much."""
        hours = self.lasted / timedelta(hours=1)
        return [
            ("Ran for", f"{hours:.1f} h"),
            ("Orders", f"{self.orders}, {self.filled} filled"),
            ("Refused by the venue's rules", str(self.rejected)),
            ("Ended unfilled", str(self.unfilled)),
            ("Left alone as too small", str(self.too_small)),
            ("Turnover", f"${self.turnover:,.2f}"),
            ("Fees", f"${self.fees:,.2f}"),
            ("Realized", f"${self.realized:,.2f}"),
            ("Return", f"{self.returned * 100:.2f} %"),
            ("Worst drawdown", f"{self.worst_drawdown * 100:.2f} %"),
            ("Breakers", "; ".join(self.breakers) or "none tripped"),
        ]

    @property
    def data(self) -> dict[str, object]:
        """The report for programs: decimals as text."""
        return {
            "venue": self.venue,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "assigned": plain(self.assigned),
            "equity": plain(self.equity),
            "orders": self.orders,
            "filled": self.filled,
            "rejected": self.rejected,
            "unfilled": self.unfilled,
            "fills": self.fills,
            "turnover": plain(self.turnover),
            "fees": plain(self.fees),
            "realized": plain(self.realized),
            "return": plain(round(self.returned, 6)),
            "worst_drawdown": plain(round(self.worst_drawdown, 6)),
            "too_small": self.too_small,
            "breakers": list(self.breakers),
        }


def shadow_report(*, portfolio: Portfolio, now: datetime) -> ShadowReport:
    """Return what the shadow of a portfolio did since it was connected.

    :raises NotFound: it is connected to no account
    """
    account = live_get(portfolio=portfolio)
    until = now if account.state in LiveAccount.ON_PAPER else account.promoted_at or now
    span = (account.shadow_since, until)
    orders = Order.objects.filter(portfolio=portfolio, created_at__range=span)
    counts = {row["status"]: row["n"] for row in orders.values("status").annotate(n=Count("id")).order_by()}
    fills = Fill.objects.filter(order__in=orders)
    sums = orders.aggregate(turnover=Sum("filled_notional"), fees=Sum("fees"))
    closed = Position.objects.filter(portfolio=portfolio, opened_at__range=span)
    returned, drawdown = _curve(portfolio, account.shadow_since, until)
    trips = BreakerTrip.objects.filter(portfolio=portfolio, tripped_at__range=span).order_by("pk")
    small = Decision.objects.filter(portfolio=portfolio, at__range=span, reason__icontains="minimum")
    return ShadowReport(
        venue=account.venue,
        since=account.shadow_since,
        until=until,
        assigned=account.assigned,
        equity=Valuation.objects.values_list("equity", flat=True).get(pk=portfolio.pk),
        orders=sum(counts.values()),
        filled=counts.get("filled", 0),
        rejected=counts.get("rejected", 0),
        unfilled=counts.get("expired", 0) + counts.get("cancelled", 0),
        fills=fills.count(),
        turnover=sums["turnover"] or ZERO,
        fees=sums["fees"] or ZERO,
        realized=closed.aggregate(total=Sum("realized_pnl"))["total"] or ZERO,
        returned=returned,
        worst_drawdown=drawdown,
        too_small=small.count(),
        breakers=tuple(trip.get_kind_display() for trip in trips),
    )


def _curve(portfolio: Portfolio, since: datetime, until: datetime) -> tuple[Decimal, Decimal]:
    """Return the growth of the unit value and its worst fall from a peak, both as fractions."""
    points = EquityPoint.objects.filter(portfolio=portfolio, at__range=(since, until)).order_by("at")
    first = peak = last = None
    worst = ZERO
    for value in points.values_list("unit_value", flat=True).iterator():
        first = value if first is None else first
        peak = value if peak is None else max(peak, value)
        last = value
        worst = max(worst, ONE - value / peak) if peak else worst
    return (last / first - ONE if first and last else ZERO), worst
