"""Putting alerts into one message. Pure: labels and times come in as text.

One alert is told in full; several waiting for one channel go out as one message, newest last, so that a bad
night does not ring a phone twenty times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LISTED_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class AlertText:
    """One alert, ready to be read.

    :param at: when, in words
    :param count: how often it happened since the last message about it
    :param about: the portfolio, empty where it is about none
    """

    title: str
    body: str
    at: str
    about: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out."""

    title: str
    body: str


def message_write(*, alerts: Sequence[AlertText], many: str, times: str, more: str) -> Message:
    """Return one message about one or more alerts.

    :param many: title for several, with ``{count}``
    :param times: how a repeat is told, with ``{count}``
    :param more: the last line where not all are listed, with ``{count}``
    :raises ValueError: there is no alert
    """
    if not alerts:
        msg = "a message needs at least one alert"
        raise ValueError(msg)
    if len(alerts) == 1:
        only = alerts[0]
        return Message(title=_headline(only), body="\n".join(_rest(only, times)))
    listed = alerts[-LISTED_MOST:]
    lines = [line for alert in listed for line in ("", _headline(alert), *_rest(alert, times))]
    if left := len(alerts) - len(listed):
        lines += ["", more.format(count=left)]
    return Message(title=many.format(count=len(alerts)), body="\n".join(lines).strip())


def _headline(alert: AlertText) -> str:
    return f"{alert.about}: {alert.title}" if alert.about else alert.title


def _rest(alert: AlertText, times: str) -> list[str]:
    when = f"{alert.at}, {times.format(count=alert.count)}" if alert.count > 1 else alert.at
    return [line for line in (alert.body, when) if line]
