"""Reading alerts and channels. Their owner alone sees them, whatever anybody's role."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet

from accounts.models import User
from accounts.selectors import BIGGEST_ID
from alerts.models import Alert, AlertChannel, AlertDelivery
from core.errors import NotFound


def alerts_of(*, user: User | AnonymousUser) -> QuerySet[Alert]:
    """Return the person's own alerts, newest first; none for anybody else."""
    if not isinstance(user, User):
        return Alert.objects.none()
    return Alert.objects.filter(owner=user).select_related("portfolio")


def alerts_unread(*, owner_id: int | None) -> int:
    """Return how many alerts a person has not read; none for nobody."""
    return Alert.objects.filter(owner=owner_id, read_at__isnull=True).count() if owner_id else 0


def channels_of(*, user: User | AnonymousUser) -> QuerySet[AlertChannel]:
    """Return the person's own channels, oldest first; ``given_up`` counts alerts that never got through."""
    if not isinstance(user, User):
        return AlertChannel.objects.none()
    failed = Count("deliveries", filter=Q(deliveries__status=AlertDelivery.Status.FAILED))
    return AlertChannel.objects.filter(owner=user).annotate(given_up=failed).order_by("pk")


def channel_get(*, user: User | AnonymousUser, channel_id: int) -> AlertChannel:
    """Return one of the person's own channels.

    :raises NotFound: there is none with this id, or it is someone else's; the two are not told apart
    """
    if 0 < channel_id <= BIGGEST_ID:
        channel = channels_of(user=user).filter(pk=channel_id).first()
        if channel is not None:
            return channel
    raise NotFound(f"You have no channel with the number {channel_id}.")
