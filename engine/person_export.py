"""Everything kept about a person, as one zip of JSON files that is written while it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import orjson
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import Q, QuerySet

from accounts.credentials import credentials_of
from accounts.domain.devices import device_text
from accounts.models import AuditEntry, KnownDevice, Portfolio, User
from accounts.selectors import portfolios_of
from alerts.models import AlertChannel
from allocation.models import Follow
from engine.domain.export_format import Ending
from engine.exports import SUBJECTS, export_open
from traders.push import agents_of

AUDIT_AT_ONCE: Final = 2_000


def person_export(*, user: User, now: datetime) -> Iterator[bytes]:
    """Return the zip in pieces: who the person is here, and for each portfolio everything it did.

    No secret is in it: of keys, agents, channels and second factors it says that they are there.
    """
    stream = _Pieces()
    with zipfile.ZipFile(stream, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, chunks in _files(user, now):
            entry = zipfile.ZipInfo(name, date_time=now.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                for chunk in chunks:
                    file.write(chunk)
                    if piece := stream.taken():
                        yield piece
            if piece := stream.taken():
                yield piece
    yield stream.taken()


class _Pieces(io.RawIOBase):
    """What the zip writer writes to: holds the bytes until they are taken, and cannot go back."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        piece = bytes(self._held)
        self._held.clear()
        return piece


def _files(user: User, now: datetime) -> Iterator[tuple[str, Iterator[bytes]]]:
    portfolios = list(portfolios_of(user=user))
    numbers = [portfolio.pk for portfolio in portfolios]
    yield "profile.json", _written(_profile(user))
    yield "sessions.json", _written(_sessions(user))
    yield "access.json", _written(_access(user))
    yield "portfolios.json", _written([_fields(portfolio) for portfolio in portfolios])
    follows = Follow.objects.filter(portfolio__in=numbers).select_related("trader").order_by("pk")
    yield "follows.json", _written([{"trader": follow.trader.name, **_fields(follow)} for follow in follows])
    yield "audit.json", _rows(AuditEntry.objects.filter(Q(actor_id=user.pk) | Q(portfolio_id__in=numbers)))
    for portfolio in portfolios:
        for what in SUBJECTS:
            export = export_open(portfolio=portfolio, what=what, ending=Ending.JSON, now=now)
            chunks = (chunk.encode() for chunk in export.chunks)
            yield f"portfolios/{portfolio.pk}/{what}.json", chunks


def _profile(user: User) -> dict[str, Any]:
    addresses = EmailAddress.objects.filter(user=user).order_by("pk")
    names = ("id", "email", "first_name", "last_name", "role", "language", "time_zone")
    return {
        **{name: getattr(user, name) for name in names},
        "joined_at": user.date_joined,
        "signed_in_at": user.last_login,
        "addresses": [{"email": one.email, "verified": one.verified} for one in addresses],
    }


def _sessions(user: User) -> dict[str, Any]:
    sessions = UserSession.objects.filter(user=user).order_by("pk")
    return {
        "sessions": [
            {
                "device": device_text(user_agent=one.user_agent),
                "user_agent": one.user_agent,
                "ip": one.ip,
                "created_at": one.created_at,
                "last_seen_at": one.last_seen_at,
            }
            for one in sessions
        ],
        "devices": list(
            KnownDevice.objects.filter(user=user).values("device", "first_seen_at", "last_seen_at")
        ),
    }


def _access(user: User) -> dict[str, Any]:
    factors = Authenticator.objects.filter(user=user).order_by("pk")
    keys = ("venue", "name", "mask", "purpose", "sandbox", "permissions", "created_at")
    agents = agents_of(user=user).select_related("trader")
    return {
        "second_factors": list(factors.values("type", "created_at", "last_used_at")),
        "keys": list(credentials_of(user=user).values(*keys)),
        "agents": [{"id": one.public_id, "name": one.trader.name} for one in agents],
        "alert_channels": list(AlertChannel.objects.filter(owner=user).values("service", "name", "mask")),
    }


def _fields(row: Portfolio | Follow | AuditEntry) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def _written(document: object) -> Iterator[bytes]:
    yield orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2)


def _rows(rows: QuerySet[AuditEntry]) -> Iterator[bytes]:
    """Return a JSON list of rows, oldest first, read a few thousand at a time."""
    yield b"["
    reached, between = 0, b"\n"
    while batch := list(rows.filter(pk__gt=reached).order_by("pk")[:AUDIT_AT_ONCE]):
        for row in batch:
            yield between + orjson.dumps(_fields(row), default=str)
            between = b",\n"
        reached = batch[-1].pk
    yield b"\n]"
