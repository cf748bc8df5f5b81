"""Keeping channels: add, change, remove, test; reading alerts; quiet hours.

An address is looked at before it is kept, and again with each message that goes there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time
from typing import Any, Final

import msgspec
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.audit import audit_write
from accounts.models import User
from accounts.roles import OPERATOR_SEES_HEALTH, role_allows
from accounts.sealing import SealBroken, text_open, text_seal
from alerts.domain.channels import Service, address_mask, fields_clean, secrets_of
from alerts.domain.kinds import AlertKind, kinds_for
from alerts.domain.messages import Message
from alerts.models import Alert, AlertChannel, AlertDelivery, QuietTime
from alerts.selectors import alerts_of, channels_of
from alerts.senders import NotSent, Outgoing, address_check, message_send
from core.errors import InputError

MAX_CHANNELS: Final = 10
NAME_LENGTH: Final = 80
TESTS_PER_HOUR: Final = 20
_UNIQUE_NAME: Final = "alert_channel_name_unique"


def kinds_of(*, user: User) -> tuple[AlertKind, ...]:
    """Return the kinds a person can be told of, most urgent first."""
    return kinds_for(operator=role_allows(user=user, may=OPERATOR_SEES_HEALTH))


def addresses_verified(*, user: User) -> list[str]:
    """Return the e-mail addresses a person has proved to be theirs."""
    rows = EmailAddress.objects.filter(user=user, verified=True).order_by("-primary", "pk")
    return list(rows.values_list("email", flat=True))


@sensitive_variables()
def channel_add(
    *,
    owner: User,
    service: str,
    name: str,
    fields: Mapping[str, str],
    kinds: Sequence[str] | None,
    via: str,
    now: datetime,
) -> AlertChannel:
    """Keep a channel, its address sealed.

    :param fields: as ``alerts.domain.channels.SERVICE_FIELDS`` names them
    :param kinds: what goes there; None: everything the person can be told of
    :raises InputError: an unknown service or kind, a field that is wrong, an address that is not public or
        not the person's own, a name that is taken, or one channel too many
    """
    if service not in AlertChannel.Service.values:
        raise InputError(_("Choose how you want to be told."), field="service")
    kind_of_service = Service(service)
    clean = fields_clean(service=kind_of_service, fields=fields)
    _address_check(owner, kind_of_service, clean)
    channel = AlertChannel(
        owner=owner,
        service=service,
        name=_name_clean(name, secrets_of(service=kind_of_service, fields=clean)),
        mask=address_mask(service=kind_of_service, fields=clean),
        sealed=text_seal(text=msgspec.json.encode(clean).decode()),
        kinds=_kinds_clean(owner, kinds),
        created_at=now,
        next_at=now,
    )
    with transaction.atomic():
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=owner.pk)
        if AlertChannel.objects.filter(owner=owner).count() >= MAX_CHANNELS:
            raise InputError(
                _("You have %(count)d channels already, the most one person can have.")
                % {"count": MAX_CHANNELS}
            )
        _saved(channel)
        _audit("alert_channel.add", channel, via=via, now=now)
    return channels_of(user=owner).get(pk=channel.pk)


def channel_change(
    *,
    channel: AlertChannel,
    name: str | None = None,
    kinds: Sequence[str] | None = None,
    enabled: bool | None = None,
    via: str,
    now: datetime,
) -> AlertChannel:
    """Change what a channel is called, what goes there, or whether anything does; None leaves it as it is.

    Its address is not changed: remove the channel and add another.

    :raises InputError: a name that is empty or taken, an unknown kind
    """
    if name is not None:
        channel.name = _name_clean(name, ())
    if kinds is not None:
        channel.kinds = _kinds_clean(channel.owner, kinds)
    if enabled is not None:
        channel.enabled = enabled
    with transaction.atomic():
        _saved(channel, only=("name", "kinds", "enabled"))
        if not channel.enabled:  # what waited would be old news by the time it is switched on again
            channel.deliveries.filter(status=AlertDelivery.Status.WAITING).delete()
        _audit("alert_channel.change", channel, via=via, now=now)
    return channel


def channel_remove(*, channel: AlertChannel, via: str, now: datetime) -> None:
    """Erase a channel with its address; what waited for it is not sent any more."""
    with transaction.atomic():
        _audit("alert_channel.remove", channel, via=via, now=now)
        channel.delete()


@sensitive_variables()
def channel_test(*, channel: AlertChannel, now: datetime) -> str:
    """Send a message right now, whatever the hour; return why it did not go out, empty where it did.

    Must be called outside a transaction.

    :raises InputError: too many tests within an hour
    """
    counter = f"alert-tests:{channel.owner_id}"
    cache.add(counter, 0, timeout=3600)
    if cache.incr(counter) > TESTS_PER_HOUR:
        raise InputError(_("Too many tests. Wait an hour."))
    with translation.override(channel.owner.language or "en"):
        message = Message(
            title=_("Test from Ensemble"), body=_("This channel works. Alerts you chose for it arrive here.")
        )
    try:
        error = _tested(channel, message, now)
    except (NotSent, SealBroken) as problem:
        error = str(problem)
    values: dict[str, Any] = {"error": error, "error_at": now if error else None}
    if not error:
        values |= {"sent_at": now, "failures": 0, "next_at": now}
    AlertChannel.objects.filter(pk=channel.pk).update(**values)
    return error


@sensitive_variables()
def _tested(channel: AlertChannel, message: Message, now: datetime) -> str:
    if not address_confirmed(channel=channel):
        return unverified_text()
    delivery = f"test-{channel.pk}-{int(now.timestamp())}"
    message_send(
        outgoing=channel_outgoing(
            channel=channel, message=message, delivery=delivery, data={"alerts": []}, now=now
        )
    )
    return ""


def address_confirmed(*, channel: AlertChannel) -> bool:
    """Tell whether a channel may be written to: an e-mail address only while it is its owner's."""
    if channel.service != Service.EMAIL.value:
        return True
    return channel.mask.lower() in {one.lower() for one in addresses_verified(user=channel.owner)}


def unverified_text() -> str:
    """Say why nothing is sent to an address that is not confirmed."""
    return _("This e-mail address is not confirmed.")


@sensitive_variables()
def channel_outgoing(
    *, channel: AlertChannel, message: Message, delivery: str, data: Mapping[str, Any], now: datetime
) -> Outgoing:
    """Return a message addressed to a channel.

    :raises SealBroken: no listed key opens its address
    """
    fields = msgspec.json.decode(text_open(sealed=channel.sealed), type=dict[str, str])
    return Outgoing(
        service=Service(channel.service), fields=fields, message=message, delivery=delivery, at=now, data=data
    )


def quiet_hours_set(*, user: User, begins: time | None, ends: time | None) -> None:
    """Set quiet hours, or take them away with two None.

    :raises InputError: one of the two is missing
    """
    if begins is None and ends is None:
        QuietTime.objects.filter(pk=user.pk).delete()
        return
    if begins is None or ends is None:
        raise InputError(_("Quiet hours need a beginning and an end."), field="ends" if begins else "begins")
    QuietTime.objects.update_or_create(owner=user, defaults={"begins": begins, "ends": ends})


def alerts_read(*, user: User, alert_ids: Collection[int] | None, now: datetime) -> int:
    """Mark a person's own alerts as read, None: all of them; return how many were not."""
    unread: Any = alerts_of(user=user).filter(read_at__isnull=True)
    if alert_ids is not None:
        unread = unread.filter(pk__in=alert_ids)
    return int(Alert.objects.filter(pk__in=unread.values("pk")).update(read_at=now))


@sensitive_variables()
def _address_check(owner: User, service: Service, fields: Mapping[str, str]) -> None:
    if service is Service.EMAIL:
        if fields["address"].lower() not in {one.lower() for one in addresses_verified(user=owner)}:
            raise InputError(_("Alerts go to an e-mail address that you have confirmed."), field="address")
        return
    try:
        address_check(service=service, fields=fields)
    except NotSent as error:
        raise InputError(str(error), field="token" if service is Service.TELEGRAM else "url") from None


def _name_clean(text: str, secrets: Sequence[str]) -> str:
    name = " ".join(text.split())
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise InputError(_("A name has 1 to %(count)d characters.") % {"count": NAME_LENGTH}, field="name")
    if any(secret in name for secret in secrets):
        raise InputError(
            _("The name holds a part of the address. Names are shown; choose another."), field="name"
        )
    return name


def _kinds_clean(owner: User, kinds: Sequence[str] | None) -> list[str]:
    mine = [kind.value for kind in kinds_of(user=owner)]
    if kinds is None:
        return mine
    unknown = sorted(set(kinds) - set(mine))
    if unknown:
        raise InputError(_("“%(kind)s” is nothing you can be told of.") % {"kind": unknown[0]}, field="kinds")
    return [kind for kind in mine if kind in kinds]


def _saved(channel: AlertChannel, *, only: Collection[str] | None = None) -> None:
    try:
        with transaction.atomic():
            channel.save(update_fields=only)
    except IntegrityError as error:
        if _UNIQUE_NAME not in str(error):
            raise
        raise InputError(
            _("You have a channel called “%(name)s” already.") % {"name": channel.name}, field="name"
        ) from None


def _audit(action: str, channel: AlertChannel, *, via: str, now: datetime) -> None:
    data = {
        "channel_id": channel.pk,
        "service": channel.service,
        "name": channel.name,
        "mask": channel.mask,
        "enabled": channel.enabled,
        "kinds": channel.kinds,
    }
    audit_write(action=action, outcome="done", via=via, actor=channel.owner, data=data, now=now)
