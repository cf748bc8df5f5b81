"""Raising alerts: rows in the transaction of what happened. Nothing is sent here (``alerts.delivering``).

Whoever raises names a key. The same key again within ``ALERTS_REPEAT_MINUTES`` counts up what was raised and
tells nobody anew; the next message says how often. Something that lasts, such as a trader that cannot be
read, is raised as ``standing``: once, until ``alerts_end`` says that it is over.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from accounts import zones
from accounts.models import User
from accounts.roles import OPERATOR_SEES_HEALTH, role_allows
from alerts.domain.kinds import KIND_RULES, AlertKind
from alerts.domain.quiet import QuietHours, quiet_until
from alerts.models import Alert, AlertChannel, AlertDelivery, QuietTime

TITLE_LENGTH: Final = 200
BODY_LENGTH: Final = 600


@dataclass(frozen=True, slots=True)
class _News:
    kind: AlertKind
    key: str
    title: str
    body: str
    at: datetime
    portfolio_id: int | None
    standing: bool


def alert_raise(
    *,
    kind: str,
    key: str,
    title: str,
    at: datetime,
    body: str = "",
    portfolio_id: int | None = None,
    user_id: int | None = None,
    standing: bool = False,
) -> list[Alert]:
    """Tell the owner of a portfolio, one person, or (with neither) everyone who runs this server.

    Belongs in the transaction of what happened: either both are kept or neither is.

    :param kind: one of ``AlertKind``
    :param key: what makes two of them the same, without the owner
    :param standing: it lasts until ``alerts_end`` is called with this key
    :return: the rows that are new; empty where all were counted up, or stand already
    """
    news = _News(AlertKind(kind), key, title[:TITLE_LENGTH], body[:BODY_LENGTH], at, portfolio_id, standing)
    with transaction.atomic():
        made = [_raise_for(owner, news) for owner in _recipients(portfolio_id, user_id)]
    return [alert for alert in made if alert is not None]


def alerts_end(
    *, key: str, at: datetime, title: str = "", body: str = "", user_ids: Collection[int] | None = None
) -> int:
    """Close what stands under a key, for everybody who was told, and say that it is over.

    :param title: empty: it ends without a word
    :param user_ids: these people alone
    :return: how many rows stood
    """
    with transaction.atomic():
        standing = Alert.objects.select_for_update(of=("self",), no_key=True).filter(
            key=key, open=True, standing=True
        )
        if user_ids is not None:
            standing = standing.filter(owner__in=user_ids)
        ended = list(standing.select_related("owner").order_by("pk"))
        Alert.objects.filter(pk__in=[alert.pk for alert in ended]).update(open=False, last_at=at)
        for alert in ended if title else []:
            over = _News(
                AlertKind(alert.kind), f"{key}:over", title[:TITLE_LENGTH], body[:BODY_LENGTH], at,
                alert.portfolio_id, standing=False,
            )  # fmt: skip
            _raise_for(alert.owner, over)
    return len(ended)


def _recipients(portfolio_id: int | None, user_id: int | None) -> list[User]:
    people = User.objects.filter(is_active=True).order_by("pk")
    if portfolio_id is not None:
        return list(people.filter(portfolios=portfolio_id))
    if user_id is not None:
        return list(people.filter(pk=user_id))
    staff = people.exclude(role=User.Role.USER)
    return [person for person in staff if role_allows(user=person, may=OPERATOR_SEES_HEALTH)]


def _raise_for(owner: User, news: _News) -> Alert | None:
    """Count up what is open under this key, or keep a new alert and put it on its ways."""
    mine = Alert.objects.filter(owner=owner, key=news.key)
    window = news.at - timedelta(minutes=settings.ALERTS_REPEAT_MINUTES)
    mine.filter(open=True, standing=False, raised_at__lte=window).update(open=False)
    if _counted_up(owner, news):
        return None
    before = mine.order_by("-pk").first()
    try:
        with transaction.atomic():
            alert = Alert.objects.create(
                owner=owner, portfolio_id=news.portfolio_id, kind=news.kind.value, key=news.key,
                title=news.title, body=news.body, raised_at=news.at, last_at=news.at,
                standing=news.standing, missed=before.count - before.told if before and before.told else 0,
            )  # fmt: skip
    except IntegrityError:
        # Another worker has raised the same a moment ago, and committed.
        if not _counted_up(owner, news):
            raise
        return None
    _deliveries_make(alert, owner)
    return alert


def _counted_up(owner: User, news: _News) -> bool:
    standing = Alert.objects.filter(owner=owner, key=news.key, open=True)
    if news.standing:
        return standing.exists()
    return bool(standing.update(count=F("count") + 1, last_at=news.at, read_at=None))


def _deliveries_make(alert: Alert, owner: User) -> None:
    channels = AlertChannel.objects.filter(owner=owner, enabled=True, kinds__contains=[alert.kind])
    held = None
    if not KIND_RULES[AlertKind(alert.kind)].critical:
        held = quiet_until(hours=quiet_hours_of(user=owner), now=alert.raised_at)
    AlertDelivery.objects.bulk_create(
        AlertDelivery(alert=alert, channel=channel, due_at=held or alert.raised_at)
        for channel in channels.order_by("pk")
    )


def quiet_hours_of(*, user: User) -> QuietHours | None:
    """Return a person's quiet hours in their own zone; None where they have none."""
    row = QuietTime.objects.filter(pk=user.pk).first()
    if row is None:
        return None
    return QuietHours(begins=row.begins, ends=row.ends, zone=zone_of(user=user))


def zone_of(*, user: User) -> ZoneInfo:
    """Return the time zone in which a person reads times; UTC where none is set or it is not known here."""
    return zones.zone_of(name=user.time_zone) or ZoneInfo("UTC")


def alerts_prune(*, now: datetime) -> int:
    """Delete alerts that are older than ``ALERTS_RETENTION_DAYS`` and do not stand; return how many."""
    before = now.astimezone(UTC) - timedelta(days=settings.ALERTS_RETENTION_DAYS)
    old = Alert.objects.filter(last_at__lt=before).exclude(open=True, standing=True)
    deleted, _ = old.delete()
    return deleted
