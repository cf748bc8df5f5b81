"""What in the life of a portfolio its owner is told of, and in which words (OPS-1).

Called where it happens, in the same transaction; what takes time to be news (an order without an answer, a
trader that cannot be read, disputed books) is found by ``standing_watch``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Max

from accounts.models import Credential, LiveFinding
from alerts.domain.kinds import AlertKind
from alerts.models import Alert
from alerts.raising import alert_raise, alerts_end
from allocation.models import BreakerTrip, Follow
from engine.domain.plan_types import DecisionKind
from engine.models import Decision
from execution.models import Order
from positions.models import ConflictApproval
from traders.models import StyleAlarm, Trader

_TRIP_KINDS: Final[Mapping[str, AlertKind]] = {
    BreakerTrip.Kind.EMERGENCY_STOP.value: AlertKind.EMERGENCY,
    BreakerTrip.Kind.EMERGENCY_LOSS.value: AlertKind.EMERGENCY,
    BreakerTrip.Kind.MARGIN.value: AlertKind.EMERGENCY,
    BreakerTrip.Kind.BOOKS.value: AlertKind.BOOKS,
    BreakerTrip.Kind.VENUE.value: AlertKind.LIVE,
}
_TROUBLED: Final = (Trader.Status.DEGRADED.value, Trader.Status.STALE.value)
_UNKNOWN_KEY: Final = "unknown-order:"
_TRADER_KEY: Final = "trader:"


def trip_tell(*, trip: BreakerTrip, at: datetime) -> None:
    """Say that a breaker tripped, and what that does."""
    kind = _TRIP_KINDS.get(trip.kind, AlertKind.BREAKER)
    alert_raise(
        kind=kind,
        key=f"trip:{trip.portfolio_id}:{trip.kind}:{trip.follow_id or ''}",
        title=f"{trip.get_kind_display()}: {trip.get_effect_display().lower()}",
        body=f"{trip.reason.rstrip('.')}. Exits go on.",
        portfolio_id=trip.portfolio_id,
        at=at,
    )


def order_rejected_tell(*, order: Order, at: datetime) -> None:
    """Say that a venue refused an order."""
    alert_raise(
        kind=AlertKind.ORDER,
        key=f"order:{order.portfolio_id}:{order.underlying}:{order.side}",
        title=f"{order.get_side_display()} {order.instrument_id}: refused by the venue",
        body=order.status_reason or "The venue gave no reason.",
        portfolio_id=order.portfolio_id,
        at=at,
    )


def conflicts_tell(*, approvals: Sequence[ConflictApproval], at: datetime) -> None:
    """Say that conflicts wait for their owner, each until it lapses."""
    for approval in approvals:
        alert_raise(
            kind=AlertKind.CONFLICT,
            key=f"conflict:{approval.portfolio_id}:{approval.underlying}",
            title=f"{approval.underlying}: your traders disagree",
            body=f"Decide by {approval.lapses_at:%H:%M} UTC; undecided, the position stays as it is.",
            portfolio_id=approval.portfolio_id,
            at=at,
        )


def limits_tell(*, decisions: Sequence[Decision], at: datetime) -> None:
    """Say once per portfolio that limits kept something from being copied in full."""
    capped: dict[int, list[Decision]] = {}
    for decision in decisions:
        if decision.kind == DecisionKind.CAPPED:
            capped.setdefault(decision.portfolio_id, []).append(decision)
    for portfolio_id, rows in sorted(capped.items()):
        alert_raise(
            kind=AlertKind.LIMIT,
            key=f"limit:{portfolio_id}",
            title=rows[0].text if len(rows) == 1 else f"{rows[0].text} and {len(rows) - 1} more",
            body=rows[0].reason,
            portfolio_id=portfolio_id,
            at=at,
        )


def styles_tell(*, follows: Sequence[tuple[Follow, StyleAlarm]], at: datetime) -> None:
    """Say that traders changed how they trade, to those who follow them and had not dismissed it."""
    for follow, alarm in follows:
        alert_raise(
            kind=AlertKind.STYLE,
            key=f"style:{follow.pk}:{alarm.measure}",
            title=f"{alarm.trader.name} changed its style",
            body=alarm.text,
            portfolio_id=follow.portfolio_id,
            at=at,
        )


def finding_tell(*, finding: LiveFinding, at: datetime) -> None:
    """Say that an account holds something else than the books, seen twice."""
    alert_raise(
        kind=AlertKind.LIVE,
        key=f"finding:{finding.account_id}:{finding.kind}:{finding.code}",
        title=f"{finding.get_kind_display()}: {finding.code}",
        body=finding.text,
        portfolio_id=finding.account_id,
        at=at,
    )


def key_refused_tell(*, credential: Credential, error: str, at: datetime) -> None:
    """Say that a key must not be used any more."""
    alert_raise(
        kind=AlertKind.LIVE,
        key=f"key:{credential.pk}",
        title=f"The key “{credential.name}” is not used any more",
        body=error,
        user_id=credential.owner_id,
        at=at,
    )


def books_tell(*, findings: Sequence[str], at: datetime) -> None:
    """Tell those who run the server that the daily audit found differences."""
    if findings:
        alert_raise(
            kind=AlertKind.AUDIT,
            key="audit",
            title=f"The books audit found {len(findings)} differences",
            body=findings[0],
            at=at,
        )


def standing_watch(*, now: datetime) -> None:
    """Tell of what has lasted too long, and of its end. Call it every few seconds."""
    _unknown_orders(now)
    _traders(now)


def _unknown_orders(now: datetime) -> None:
    before = now - timedelta(seconds=settings.ALERTS_UNKNOWN_SECONDS)
    unknown = Order.objects.filter(status=Order.Status.UNKNOWN).annotate(since=Max("events__at"))
    standing = {f"{_UNKNOWN_KEY}{order.pk}": order for order in unknown.order_by("pk")}
    told = _standing_keys(_UNKNOWN_KEY)
    for key, order in standing.items():
        if key not in told and order.since is not None and order.since <= before:
            alert_raise(
                kind=AlertKind.UNKNOWN_ORDER,
                key=key,
                title=f"{order.get_side_display()} {order.instrument_id}: no answer from the venue",
                body="Its capital stays held. The venue is asked again until it has told what became of it.",
                portfolio_id=order.portfolio_id,
                at=now,
                standing=True,
            )
    for key in sorted(told - set(standing)):
        answered = Order.objects.get(pk=key.removeprefix(_UNKNOWN_KEY))
        alerts_end(
            key=key,
            title=f"{answered.instrument_id}: the venue answered",
            body=f"The order is {answered.get_status_display().lower()} now.",
            at=now,
        )


def _traders(now: datetime) -> None:
    """Tell each follower once of a trader that cannot be read, and once of the end of that."""
    before = now - timedelta(minutes=settings.ALERTS_TRADER_MINUTES)
    lost = Follow.objects.exclude(status=Follow.Status.REMOVED).filter(trader__status__in=_TROUBLED)
    standing = {
        f"{_TRADER_KEY}{follow.pk}": follow for follow in lost.select_related("trader").order_by("pk")
    }
    told = _standing_keys(_TRADER_KEY)
    for key, follow in standing.items():
        trader = follow.trader
        if key not in told and trader.failing_since is not None and trader.failing_since <= before:
            alert_raise(
                kind=AlertKind.TRADER,
                key=key,
                title=f"{trader.name} cannot be read",
                body=f"Since {trader.failing_since:%d %b %H:%M} UTC: {trader.last_error}. What is held of it "
                "stays, nothing is opened.",
                portfolio_id=follow.portfolio_id,
                at=now,
                standing=True,
            )
    over = {int(key.removeprefix(_TRADER_KEY)) for key in told - set(standing)}
    for follow in Follow.objects.filter(pk__in=over).select_related("trader").order_by("pk"):
        followed = follow.status != Follow.Status.REMOVED
        read_again = followed and follow.trader.status == Trader.Status.ACTIVE
        title = f"{follow.trader.name} is read again" if read_again else ""
        alerts_end(key=f"{_TRADER_KEY}{follow.pk}", title=title, at=now)


def _standing_keys(prefix: str) -> set[str]:
    rows = Alert.objects.filter(open=True, standing=True, key__startswith=prefix)
    return set(rows.values_list("key", flat=True))
