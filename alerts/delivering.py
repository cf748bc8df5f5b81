"""Bringing alerts to people: claim a channel, send what waits for it as one message, keep what came of it.

A channel is claimed by one conditional UPDATE, so two workers never send the same. Who dies between sending
and writing that down leaves the claim; after ``CLAIM_S`` the message goes out again with the same id. Between
two messages of one channel lies ``PAUSE``; what is raised meanwhile goes out together. After a failure a
channel rests for a time that doubles, and an alert is given up after ``ATTEMPTS_MOST`` tries.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.sealing import SealBroken
from accounts.words import said
from alerts.channels import address_confirmed, channel_outgoing, unverified_text
from alerts.domain.messages import AlertText, message_write
from alerts.models import Alert, AlertChannel, AlertDelivery
from alerts.raising import zone_of
from alerts.senders import NotSent, Outgoing, message_send
from core.clock import Clock
from core.ids import fingerprint

logger = logging.getLogger(__name__)
CLAIM_S: Final = 60
PAUSE: Final = timedelta(seconds=6)
BACKOFF_FIRST: Final = timedelta(seconds=30)
BACKOFF_MOST: Final = timedelta(hours=1)
ATTEMPTS_MOST: Final = 8
TOGETHER: Final = 200
AT_ONCE: Final = 8
TURN_S: Final = 20.0
_TURN_LOCK: Final = 0x616C6572  # "aler": one turn at a time, so that senders leave other work its processes


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one channel is sent now; without ``outgoing`` the reason why it cannot be."""

    channel: AlertChannel
    claimed_at: datetime
    deliveries: tuple[AlertDelivery, ...]
    outgoing: Outgoing | None
    problem: str = ""


def deliveries_work(*, clock: Clock) -> int:
    """Send what is due, some channels side by side; return how many messages went out.

    Must be called outside a transaction. Does nothing while another worker is at it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_TURN_LOCK])
        if not cursor.fetchone()[0]:
            return 0
    try:
        return _turn(clock)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_TURN_LOCK])


def _turn(clock: Clock) -> int:
    sent, begun_s = 0, clock.monotonic_s()
    while clock.monotonic_s() - begun_s < TURN_S:
        now = clock.now()
        parcels = [parcel for pk in channels_due(now=now) if (parcel := _claim(pk, now))]
        if not parcels:
            break
        with ThreadPoolExecutor(max_workers=len(parcels)) as pool:
            problems = list(pool.map(_sent, parcels))
        for parcel, problem in zip(parcels, problems, strict=True):
            _keep(parcel, problem, clock.now())
            sent += not problem
    return sent


def channels_due(*, now: datetime) -> list[int]:
    """Return the ids of some channels that have something to send now, those that waited longest first."""
    due = AlertDelivery.objects.filter(
        channel=OuterRef("pk"), status=AlertDelivery.Status.WAITING, due_at__lte=now
    )
    rows = _free(now).filter(Exists(due), enabled=True, owner__is_active=True).order_by("next_at", "pk")
    return list(rows.values_list("pk", flat=True)[:AT_ONCE])


def _free(now: datetime) -> QuerySet[AlertChannel]:
    stale = now - timedelta(seconds=CLAIM_S)
    return AlertChannel.objects.filter(
        Q(claimed_at__isnull=True) | Q(claimed_at__lte=stale), next_at__lte=now
    )


def _claim(channel_id: int, now: datetime) -> _Parcel | None:
    """Take a channel and what is due for it; None where somebody else has just done so."""
    if not _free(now).filter(pk=channel_id).update(claimed_at=now):
        return None
    channel = AlertChannel.objects.select_related("owner").get(pk=channel_id)
    due = channel.deliveries.filter(status=AlertDelivery.Status.WAITING, due_at__lte=now)
    taken = tuple(due.select_related("alert__portfolio").order_by("pk")[:TOGETHER])
    AlertDelivery.objects.filter(pk__in=[one.pk for one in taken]).update(attempts=F("attempts") + 1)
    return _packed(channel, taken, now)


def _packed(channel: AlertChannel, taken: tuple[AlertDelivery, ...], now: datetime) -> _Parcel:
    if not address_confirmed(channel=channel):
        return _Parcel(channel, now, taken, None, unverified_text())
    zone = zone_of(user=channel.owner)
    alerts = [one.alert for one in taken]
    with translation.override(channel.owner.language or "en"):
        message = message_write(
            alerts=[
                AlertText(
                    title=said(alert.title),
                    body=said(alert.body),
                    at=alert.last_at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z"),
                    about=alert.portfolio.name if alert.portfolio else "",
                    count=alert.count + alert.missed,
                )
                for alert in alerts
            ],
            many=_("Ensemble: {count} alerts"),
            times=_("{count} times"),
            more=_("And {count} more."),
        )
    delivery = fingerprint("alerts", channel.pk, *(one.pk for one in taken))
    data = {"alerts": [_written(alert) for alert in alerts]}
    try:
        outgoing = channel_outgoing(channel=channel, message=message, delivery=delivery, data=data, now=now)
    except SealBroken as error:
        return _Parcel(channel, now, taken, None, str(error))
    return _Parcel(channel, now, taken, outgoing)


def _written(alert: Alert) -> dict[str, Any]:
    """Return one alert as programs read it."""
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "title": alert.title,
        "body": alert.body,
        "portfolio": alert.portfolio_id,
        "raised_at": alert.raised_at.isoformat(),
        "last_at": alert.last_at.isoformat(),
        "count": alert.count + alert.missed,
    }


def _sent(parcel: _Parcel) -> str:
    """Send one parcel, in a thread of its own; return why it did not go out, empty where it did."""
    if parcel.outgoing is None:
        return parcel.problem
    try:
        message_send(outgoing=parcel.outgoing)
    except NotSent as error:
        return str(error)
    return ""


@transaction.atomic
def _keep(parcel: _Parcel, problem: str, now: datetime) -> None:
    """Write down what came of it, unless the claim was lost to another worker meanwhile."""
    held = AlertChannel.objects.filter(pk=parcel.channel.pk, claimed_at=parcel.claimed_at)
    ids = [one.pk for one in parcel.deliveries]
    waiting = AlertDelivery.objects.filter(pk__in=ids, status=AlertDelivery.Status.WAITING)
    if not problem:
        held.update(claimed_at=None, failures=0, next_at=now + PAUSE, sent_at=now, error="", error_at=None)
        waiting.update(status=AlertDelivery.Status.SENT, sent_at=now, error="")
        _told_keep(parcel.deliveries)
        return
    failures = parcel.channel.failures + 1
    pause = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures - 1, 20))
    held.update(claimed_at=None, failures=failures, next_at=now + pause, error=problem[:300], error_at=now)
    waiting.update(error=problem[:300])
    given_up = waiting.filter(attempts__gte=ATTEMPTS_MOST).update(status=AlertDelivery.Status.FAILED)
    logger.warning(
        "channel %s (%s) failed %s times in a row: %s",
        parcel.channel.pk,
        parcel.channel.service,
        failures,
        problem,
    )
    if given_up:
        logger.error("channel %s: %s alerts are given up", parcel.channel.pk, given_up)


def _told_keep(deliveries: Sequence[AlertDelivery]) -> None:
    for one in deliveries:
        Alert.objects.filter(pk=one.alert_id, told__lt=one.alert.count).update(told=one.alert.count)
