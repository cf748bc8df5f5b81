"""The ways a message can go out, and the fields each one asks for. Pure.

Telegram, Slack, Discord and the others are addressed by the URLs of the library Apprise, which are put
together here from fields, so that nobody has to know them. Of the raw ones only those of services on the
network are taken: none that writes files, runs commands or talks to this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from core.errors import InputError

FIELD_LENGTH: Final = 400
SECRET_LEAST: Final = 16
PART_LEAST: Final = 8  # shorter parts would strike through ordinary words
HIDDEN: Final = "…"


class Service(StrEnum):
    """The services; the values are those of ``alerts.models.AlertChannel.Service``."""

    EMAIL = "email"
    TELEGRAM = "telegram"
    SLACK = "slack"
    DISCORD = "discord"
    WEBHOOK = "webhook"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ServiceField:
    """One field of a service.

    :param pattern: what the whole field must look like
    :param secret: never shown again, not even while it is typed
    """

    name: str
    pattern: re.Pattern[str]
    secret: bool = True


def _field(name: str, pattern: str, *, secret: bool = True) -> ServiceField:
    return ServiceField(name=name, pattern=re.compile(pattern), secret=secret)


SERVICE_FIELDS: Final[Mapping[Service, tuple[ServiceField, ...]]] = MappingProxyType(
    {
        Service.EMAIL: (_field("address", r"[^@\s]+@[^@\s]+", secret=False),),
        Service.TELEGRAM: (
            _field("token", r"[0-9]{5,20}:[A-Za-z0-9_-]{30,60}"),
            _field("chat", r"-?[0-9]{1,20}|@[A-Za-z0-9_]{4,40}", secret=False),
        ),
        Service.SLACK: (
            _field(
                "url", r"https://hooks\.slack\.com/services/[A-Z0-9]{1,20}/[A-Z0-9]{1,20}/[A-Za-z0-9]{1,40}/?"
            ),
        ),
        Service.DISCORD: (
            _field(
                "url",
                r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api/webhooks/[0-9]{10,25}/[A-Za-z0-9_-]{20,100}/?",
            ),
        ),
        Service.WEBHOOK: (
            _field("url", r"https?://[^\s@#]+"),
            _field("secret", rf"[\x21-\x7e]{{{SECRET_LEAST},200}}"),
        ),
        Service.OTHER: (_field("url", r"[a-z]+://[^\s]+"),),
    }
)

# Services by the schema of their Apprise URL, all reached by https. Left out on purpose: everything local
# (files, commands, desktops, syslog), plain http, mail through a server of somebody's choice, and services
# that take a file of this machine as a template.
OTHER_SCHEMAS: Final = frozenset(
    {"gchat", "gotifys", "join", "matrixs", "mmosts", "ntfys", "pbul", "pover", "prowl", "rockets", "zulip"}
)
_OTHER_OPTIONS: Final = frozenset({"priority", "sound", "tags"})


def fields_clean(*, service: Service, fields: Mapping[str, str]) -> dict[str, str]:
    """Return what was typed for a service, checked field by field.

    :raises InputError: one is missing or does not look as it should, or there is one too many
    """
    wanted = SERVICE_FIELDS[service]
    extra = sorted(set(fields) - {field.name for field in wanted})
    if extra:
        raise InputError(f"“{extra[0]}” is no field of this service.", field=extra[0])
    clean: dict[str, str] = {}
    for field in wanted:
        text = fields.get(field.name, "").strip()
        if not text:
            raise InputError("This is missing.", field=field.name)
        if len(text) > FIELD_LENGTH or not text.isprintable() or not field.pattern.fullmatch(text):
            raise InputError("This does not look as it should. Copy it again.", field=field.name)
        clean[field.name] = text
    if service is Service.OTHER:
        _other_check(clean["url"])
    return clean


def _other_check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in OTHER_SCHEMAS:
        known = ", ".join(sorted(OTHER_SCHEMAS))
        raise InputError(f"“{parts.scheme}” is not sent through. Known are: {known}.", field="url")
    refused = [
        name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in _OTHER_OPTIONS
    ]
    if refused:
        raise InputError(f"The option “{refused[0]}” cannot be set here.", field="url")


def apprise_url(*, service: Service, fields: Mapping[str, str]) -> str:
    """Return the Apprise URL of a channel; fields as ``fields_clean`` returns them.

    :raises ValueError: the service is not sent to through Apprise
    """
    match service:
        case Service.TELEGRAM:
            return f"tgram://{fields['token']}/{quote(fields['chat'], safe='')}/?format=text"
        case Service.SLACK:
            return f"slack://{'/'.join(_tail(fields['url'], 3))}/?footer=no"
        case Service.DISCORD:
            return f"discord://{'/'.join(_tail(fields['url'], 2))}/?format=text"
        case Service.OTHER:
            return fields["url"]
        case _:
            msg = f"{service} is not sent to through Apprise"
            raise ValueError(msg)


def _tail(url: str, count: int) -> list[str]:
    return urlsplit(url).path.strip("/").split("/")[-count:]


def address_mask(*, service: Service, fields: Mapping[str, str]) -> str:
    """Return what may be shown of an address, to tell channels apart by; no secret is in it."""
    match service:
        case Service.EMAIL:
            return fields["address"]
        case Service.TELEGRAM:
            return f"{fields['token'].partition(':')[0]}{HIDDEN} to {fields['chat']}"
        case Service.SLACK:
            return f"{_tail(fields['url'], 3)[0]}/{HIDDEN}"
        case Service.DISCORD:
            return f"{_tail(fields['url'], 2)[0]}/{HIDDEN}"
        case Service.WEBHOOK:
            parts = urlsplit(fields["url"])
            return f"{parts.scheme}://{_host(parts.hostname, parts.port)}/{HIDDEN}"
        case Service.OTHER:
            return f"{urlsplit(fields['url']).scheme}://{HIDDEN}"


def _host(name: str | None, port: int | None) -> str:
    return f"{name}:{port}" if port else f"{name}"


def secrets_of(*, service: Service, fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return what nobody may read, whole and in the parts in which others may quote it."""
    found: list[str] = []
    for field in SERVICE_FIELDS[service]:
        if field.secret and (text := fields.get(field.name, "")):
            found += [text, *(part for part in _telling_parts(text) if len(part) >= PART_LEAST)]
    return tuple(found)


def _telling_parts(text: str) -> tuple[str, ...]:
    """Return the parts of a secret that are as good as all of it."""
    if "://" not in text:
        return (text.rpartition(":")[2],)
    parts = urlsplit(text)
    return (parts.path, parts.path.strip("/").rpartition("/")[2], parts.query)


def webhook_signature_text(*, timestamp: str, delivery: str, body: bytes) -> bytes:
    """Return what a webhook's signature is made over: time, id of the message, body, joined by dots."""
    return b".".join((timestamp.encode(), delivery.encode(), body))
