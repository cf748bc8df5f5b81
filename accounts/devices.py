"""Telling a browser that has signed in before from one that has not."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Final

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from accounts.audit import audit_write
from accounts.domain.devices import device_text
from accounts.models import AuditEntry, KnownDevice, User
from accounts.signals import new_device_signed_in

DEVICE_COOKIE: Final = "device"
DEVICE_COOKIE_AGE_S: Final = 2 * 365 * 24 * 3600
MAX_DEVICES: Final = 50
_SHAPE: Final = 43  # characters of 32 random bytes in URL-safe base64


def device_signed_in(*, request: HttpRequest, response: HttpResponse, user: User, now: datetime) -> bool:
    """Remember the browser a person has just signed in from; return whether the account had not seen it.

    The browser gets a random cookie that says nothing about the person and serves every account in it. An
    account's first browser is remembered without a word; each further one is written to the audit log and
    told to whoever listens to ``new_device_signed_in``.
    """
    token = request.COOKIES.get(DEVICE_COOKIE, "")
    if len(token) != _SHAPE:
        token = secrets.token_urlsafe(32)
    response.set_cookie(
        DEVICE_COOKIE,
        token,
        max_age=DEVICE_COOKIE_AGE_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    text = device_text(user_agent=request.headers.get("User-Agent", ""))
    ip = get_adapter(request).get_client_ip(request)
    with transaction.atomic():
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
        first = not KnownDevice.objects.filter(user=user).exists()
        _, made = KnownDevice.objects.update_or_create(
            user=user,
            digest=hashlib.sha256(token.encode()).hexdigest(),
            defaults={"device": text, "last_seen_at": now},
            create_defaults={"device": text, "first_seen_at": now, "last_seen_at": now},
        )
        _forget_oldest(user)
        if not made or first:
            return False
        audit_write(
            action="device.new",
            outcome="done",
            via=AuditEntry.Via.PAGE,
            actor=user,
            text=f"Signed in from a new device: {text}, {ip}",
            data={"device": text, "ip": ip},
            now=now,
        )
    new_device_signed_in.send(sender=KnownDevice, user=user, at=now, device=text, ip=ip)
    return True


def _forget_oldest(user: User) -> None:
    kept = KnownDevice.objects.filter(user=user).order_by("-last_seen_at", "-pk").values_list("pk", flat=True)
    KnownDevice.objects.filter(pk__in=list(kept[MAX_DEVICES:])).delete()
