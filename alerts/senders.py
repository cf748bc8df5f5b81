"""Sending one message through one channel. Called outside of transactions; touches no table.

Telegram, Slack, Discord and other services are spoken to by the library Apprise. E-mail goes the way of all
mail of this server. A webhook is posted here, since its body is signed.

What libraries write of addresses into logs is kept out of them: an address is as good as a password.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from smtplib import SMTPException
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests
from django.core.mail import EmailMessage
from django.views.decorators.debug import sensitive_variables

from accounts.domain.keys import text_without
from alerts.domain.channels import Service, apprise_url, secrets_of, webhook_signature_text
from alerts.domain.messages import Message
from alerts.network import PrivateAddress, guard_active, guarded_connections, host_check

CONNECT_S: Final = 4.0
READ_S: Final = 8.0
ERROR_LENGTH: Final = 300
_said: ContextVar[list[str] | None] = ContextVar("alerts_said", default=None)


class NotSent(Exception):
    """A message did not go out; the text says why, for its owner, without any secret."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message with its way.

    :param delivery: the same for a repeat of the same message, so that a receiver can tell
    :param data: what a program gets to read, beside title and body
    """

    service: Service
    fields: Mapping[str, str]
    message: Message
    delivery: str
    at: datetime
    data: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<{self.service} message {self.delivery}>"


@sensitive_variables()
def message_send(*, outgoing: Outgoing) -> None:
    """Send, and return when the other side has taken it.

    :raises NotSent: it has not, or did not say so in time
    """
    secrets = secrets_of(service=outgoing.service, fields=outgoing.fields)
    try:
        if outgoing.service is Service.EMAIL:
            _mail(outgoing)
        else:
            with guarded_connections():
                _post(outgoing) if outgoing.service is Service.WEBHOOK else _notify(outgoing)
    except NotSent as error:
        raise NotSent(text_without(text=str(error), secrets=secrets)[:ERROR_LENGTH]) from None


def _mail(outgoing: Outgoing) -> None:
    try:
        sent = EmailMessage(
            subject=outgoing.message.title,
            body=outgoing.message.body,
            to=[outgoing.fields["address"]],
            headers={"Auto-Submitted": "auto-generated", "X-Ensemble-Delivery": outgoing.delivery},
        ).send()
    except (OSError, SMTPException, MessageError) as error:
        raise NotSent(f"The mail server did not take it ({type(error).__name__}).") from None
    if not sent:
        raise NotSent("The mail server did not take it.")


@sensitive_variables()
def _post(outgoing: Outgoing) -> None:
    """Post JSON, signed: HMAC-SHA256 (RFC 2104) over time, id of the message and body."""
    body = msgspec.json.encode(
        {
            "delivery": outgoing.delivery,
            "sent_at": outgoing.at.isoformat(),
            "title": outgoing.message.title,
            "body": outgoing.message.body,
            **outgoing.data,
        }
    )
    timestamp = str(int(outgoing.at.timestamp()))
    text = webhook_signature_text(timestamp=timestamp, delivery=outgoing.delivery, body=body)
    signature = hmac.new(outgoing.fields["secret"].encode(), text, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Ensemble",
        "X-Ensemble-Delivery": outgoing.delivery,
        "X-Ensemble-Timestamp": timestamp,
        "X-Ensemble-Signature": f"sha256={signature}",
    }
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                outgoing.fields["url"], data=body, headers=headers, timeout=(CONNECT_S, READ_S),
                allow_redirects=False, stream=True,
            )  # fmt: skip
            answer.close()
    except requests.RequestException as error:
        raise NotSent(_network_words(error)) from None
    if not 200 <= answer.status_code < 300:
        raise NotSent(_status_words(answer.status_code))


@sensitive_variables()
def _notify(outgoing: Outgoing) -> None:
    """Hand the message to the service's own part of Apprise."""
    from apprise import NotifyType  # takes a second to import

    said: list[str] = []
    token = _said.set(said)
    try:
        service = service_open(service=outgoing.service, fields=outgoing.fields)
        done = service.notify(
            title=outgoing.message.title, body=outgoing.message.body, notify_type=NotifyType.WARNING
        )
    except PrivateAddress as error:
        raise NotSent(f"Not sent: {error}.") from None
    except (TypeError, OSError) as error:
        raise NotSent(f"The service did not take it ({type(error).__name__}).") from None
    finally:
        _said.reset(token)
    if not done:
        raise NotSent(" ".join(dict.fromkeys(said)) or "The service did not take it and did not say why.")


@sensitive_variables()
def service_open(*, service: Service, fields: Mapping[str, str]) -> Any:
    """Return Apprise's part for one address. It follows no redirect, checks certificates and never waits.

    :raises NotSent: Apprise does not understand the address, or it points into a private network
    """
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(async_mode=False, http_redirects=False)
    found: Any = Apprise.instantiate(apprise_url(service=service, fields=fields), asset=asset)
    if found is None:
        raise NotSent("This address is not understood.")
    found.redirects, found.verify_certificate = False, True
    found.socket_connect_timeout, found.socket_read_timeout = CONNECT_S, READ_S
    found.throttle = lambda *args, **kwargs: None  # pauses between messages are ours (alerts.delivering)
    return found


def address_check(*, service: Service, fields: Mapping[str, str]) -> None:
    """Refuse an address that is not understood or not public, without sending anything.

    :raises NotSent: either of the two; a name that cannot be resolved counts as not understood
    """
    host, port = "", 443
    if service is Service.WEBHOOK:
        parts = urlsplit(fields["url"])
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    elif service is not Service.EMAIL:
        opened = service_open(service=service, fields=fields)
        if service is Service.OTHER and opened.secure and "." in (opened.host or ""):
            host, port = opened.host, opened.port or 443
    if host:
        try:
            host_check(host=host, port=port)
        except PrivateAddress as error:
            raise NotSent(f"Not taken: {error}.") from None
        except OSError:
            raise NotSent(f"The host “{host}” has no address.") from None


def _network_words(error: requests.RequestException) -> str:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PrivateAddress):
            return f"Not sent: {inner}."
        inner = inner.__context__ or inner.__cause__
    if isinstance(error, requests.Timeout):
        return "No answer in time."
    return f"Nobody answered there ({type(error).__name__})."


def _status_words(status: int) -> str:
    if 300 <= status < 400:
        return f"The address leads elsewhere ({status}); enter the one it leads to."
    if status == 429:
        return "Too many messages for the receiver (429)."
    return f"The receiver answered {status}."


class _Discreet(logging.Filter):
    """Keep what libraries write while a message is sent out of the logs; its warnings become the reason."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let nothing pass during a send."""
        said = _said.get()
        if said is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return not guard_active()


for _name in ("apprise", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_Discreet())
