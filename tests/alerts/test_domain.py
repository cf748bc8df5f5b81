"""OPS-1, the pure part: quiet hours, addresses, messages."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.channels import Service, address_mask, apprise_url, fields_clean, secrets_of
from alerts.domain.kinds import KIND_RULES, AlertKind, kinds_for
from alerts.domain.messages import LISTED_MOST, AlertText, message_write
from alerts.domain.quiet import QuietHours, quiet_until
from alerts.models import Alert, AlertChannel
from core.errors import InputError
from tests.alerts.conftest import DISCORD_URL, SLACK_URL, TELEGRAM_TOKEN

WARSAW = ZoneInfo("Europe/Warsaw")
NIGHT = QuietHours(begins=time(22), ends=time(7), zone=WARSAW)
WORDS = {"many": "{count} alerts", "times": "{count} times", "more": "And {count} more."}


def test_words_and_rules_agree() -> None:
    """Every kind has a rule and a label, every service a label."""
    assert set(KIND_RULES) == set(AlertKind)
    assert set(Alert.Kind.values) == {kind.value for kind in AlertKind}
    assert set(AlertChannel.Service.values) == {service.value for service in Service}
    assert AlertKind.WORKERS not in kinds_for(operator=False)
    assert set(kinds_for(operator=True)) == set(AlertKind)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        # Warsaw is an hour ahead of UTC in winter, two in summer.
        (datetime(2026, 3, 2, 20, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 2, 21, 0, tzinfo=UTC), datetime(2026, 3, 3, 6, 0, tzinfo=UTC)),
        (datetime(2026, 3, 3, 5, 59, 59, tzinfo=UTC), datetime(2026, 3, 3, 6, 0, tzinfo=UTC)),
        (datetime(2026, 3, 3, 6, 0, tzinfo=UTC), None),
        (datetime(2026, 7, 1, 20, 0, tzinfo=UTC), datetime(2026, 7, 2, 5, 0, tzinfo=UTC)),
        # The night of 29 March is an hour shorter, that of 25 October an hour longer.
        (datetime(2026, 3, 28, 21, 0, tzinfo=UTC), datetime(2026, 3, 29, 5, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 20, 0, tzinfo=UTC), datetime(2026, 10, 25, 6, 0, tzinfo=UTC)),
    ],
)
def test_quiet_nights_follow_the_clock_on_the_wall(now: datetime, until: datetime | None) -> None:
    """From 22:00 until 07:00 there, whatever UTC says."""
    assert quiet_until(hours=NIGHT, now=now) == until


def test_quiet_by_day_all_day_and_never() -> None:
    """A siesta, the whole day, and nobody's quiet hours."""
    siesta = QuietHours(begins=time(13), ends=time(15, 30), zone=ZoneInfo("UTC"))
    noon = datetime(2026, 3, 2, 13, tzinfo=UTC)
    assert quiet_until(hours=siesta, now=noon) == datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    assert quiet_until(hours=siesta, now=datetime(2026, 3, 2, 15, 30, tzinfo=UTC)) is None
    always = QuietHours(begins=time(8), ends=time(8), zone=ZoneInfo("UTC"))
    assert quiet_until(hours=always, now=noon) == datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert quiet_until(hours=None, now=noon) is None


@given(
    begins=st.integers(min_value=0, max_value=1439),
    ends=st.integers(min_value=0, max_value=1439),
    minute=st.integers(min_value=0, max_value=6 * 365 * 24 * 60),
    zone=st.sampled_from(["UTC", "Europe/Warsaw", "America/New_York", "Australia/Lord_Howe"]),
)
def test_the_end_of_quiet_hours_is_ahead_and_near(begins: int, ends: int, minute: int, zone: str) -> None:
    """Nothing is held back for ever, and nothing is due in the past."""
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    until = quiet_until(
        hours=QuietHours(time(*divmod(begins, 60)), time(*divmod(ends, 60)), ZoneInfo(zone)), now=now
    )
    assert until is None or now < until <= now + timedelta(hours=25)


@pytest.mark.parametrize(
    ("service", "fields", "url", "mask"),
    [
        (
            Service.TELEGRAM,
            {"token": TELEGRAM_TOKEN, "chat": "-100123"},
            f"tgram://{TELEGRAM_TOKEN}/-100123/?format=text",
            "123456789… to -100123",
        ),
        (
            Service.TELEGRAM,
            {"token": TELEGRAM_TOKEN, "chat": "@desk_pl"},
            f"tgram://{TELEGRAM_TOKEN}/%40desk_pl/?format=text",
            "123456789… to @desk_pl",
        ),
        (
            Service.SLACK,
            {"url": SLACK_URL},
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7F/?footer=no",
            "T1JJ3T3L2/…",
        ),
        (
            Service.DISCORD,
            {"url": DISCORD_URL},
            f"discord://{DISCORD_URL.partition('webhooks/')[2]}/?format=text",
            "417429632418316298/…",
        ),
    ],
)
def test_addresses_are_put_together_from_fields(
    service: Service, fields: dict[str, str], url: str, mask: str
) -> None:
    """Nobody has to know the URLs of the library, and the mask shows no secret."""
    clean = fields_clean(service=service, fields={name: f" {text} " for name, text in fields.items()})
    assert apprise_url(service=service, fields=clean) == url
    assert address_mask(service=service, fields=clean) == mask
    assert not any(secret in mask for secret in secrets_of(service=service, fields=clean))


@pytest.mark.parametrize(
    ("service", "fields", "at_fault"),
    [
        (Service.TELEGRAM, {"token": "123", "chat": "1"}, "token"),
        (Service.TELEGRAM, {"token": TELEGRAM_TOKEN, "chat": "../1"}, "chat"),
        (Service.TELEGRAM, {"token": TELEGRAM_TOKEN}, "chat"),
        (Service.SLACK, {"url": "https://hooks.slack.com.evil.example/services/A/B/C"}, "url"),
        (Service.SLACK, {"url": SLACK_URL, "token": "x"}, "token"),
        (Service.DISCORD, {"url": DISCORD_URL + "?template=/etc/passwd"}, "url"),
        (Service.WEBHOOK, {"url": "https://a.example/hook", "secret": "short"}, "secret"),
        (Service.WEBHOOK, {"url": "https://me:pass@a.example/", "secret": "x" * 20}, "url"),
        (Service.WEBHOOK, {"url": "file:///etc/passwd", "secret": "x" * 20}, "url"),
        (Service.OTHER, {"url": "file:///tmp/alerts"}, "url"),
        (Service.OTHER, {"url": "syslog://localhost"}, "url"),
        (Service.OTHER, {"url": "exec://rm"}, "url"),
        (Service.OTHER, {"url": "dbus://"}, "url"),
        (Service.OTHER, {"url": "json://10.0.0.1/"}, "url"),
        (Service.OTHER, {"url": "gotify://10.0.0.1/token"}, "url"),
        (Service.OTHER, {"url": "workflows://a/b/c?template=/etc/passwd"}, "url"),
        (Service.OTHER, {"url": "ntfys://topic?redirect=yes"}, "url"),
        (Service.OTHER, {"url": "pover://user@token?verify=no"}, "url"),
    ],
)  # fmt: skip
def test_what_is_not_an_address_is_refused(service: Service, fields: dict[str, str], at_fault: str) -> None:
    """Files, commands, other hosts, plain http and options that open doors."""
    with pytest.raises(InputError) as refused:
        fields_clean(service=service, fields=fields)
    assert refused.value.field == at_fault


def test_one_alert_is_told_in_full() -> None:
    """Title with the portfolio, reason, time; how often where it was more than once."""
    alert = AlertText(
        title="Drawdown: no entries", body="It fell 20 %.", at="2026-03-02 13:00 CET", about="Main"
    )
    message = message_write(alerts=[alert], **WORDS)
    assert (message.title, message.body) == (
        "Main: Drawdown: no entries",
        "It fell 20 %.\n2026-03-02 13:00 CET",
    )
    again = AlertText(title="BTC refused", body="", at="13:00", count=4)
    assert message_write(alerts=[again], **WORDS).body == "13:00, 4 times"


def test_many_alerts_go_out_as_one() -> None:
    """The newest twenty are listed, the rest are counted."""
    alerts = [AlertText(title=f"Alert {n}", body="why", at="13:00") for n in range(LISTED_MOST + 3)]
    message = message_write(alerts=alerts, **WORDS)
    assert message.title == "23 alerts"
    assert "Alert 2\n" not in message.body
    assert message.body.startswith("Alert 3\nwhy\n13:00\n\nAlert 4")
    assert message.body.endswith("Alert 22\nwhy\n13:00\n\nAnd 3 more.")
    with pytest.raises(ValueError, match="at least one"):
        message_write(alerts=[], **WORDS)
