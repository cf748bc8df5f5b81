"""The cast with channels, and the services that messages go to on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram

from accounts.models import User
from alerts.channels import channel_add
from alerts.models import AlertChannel
from tests.loopback.messengers import MailServer, Messengers, mail_server_running, messengers_running

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday, in winter time everywhere in Europe
TELEGRAM_TOKEN = "123456789:AAExampleTokenOfTelegram_0123456789ab"
SLACK_URL = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7F"
DISCORD_URL = (
    "https://discord.com/api/webhooks/417429632418316298/"
    "JHZ7lQml277CDHmQKMHI8qBe7bk2ZwO5UKjCiOAF7711o33MyqU344Qpgv7YTpadV_js"
)
WEBHOOK_SECRET = "a secret of twenty-nine letters".replace(" ", "-")
FIELDS: dict[str, dict[str, str]] = {
    "telegram": {"token": TELEGRAM_TOKEN, "chat": "987654321"},
    "slack": {"url": SLACK_URL},
    "discord": {"url": DISCORD_URL},
}


class StillClock:
    """A clock that moves when told to."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return (self.at - NOW).total_seconds()

    def wait(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def messengers(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Messengers]:
    """Telegram, Slack, Discord and a webhook's receiver on loopback, which this server may reach."""
    settings.ALERTS_ALLOW_PRIVATE = True
    with messengers_running() as running:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{running.url}/bot")
        monkeypatch.setattr(NotifySlack, "webhook_url", f"{running.url}/services")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{running.url}/api/webhooks")
        yield running


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    """A mail server on loopback, which this server sends through."""
    with mail_server_running() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        yield running


@pytest.fixture
def webhook(alice: User, messengers: Messengers) -> AlertChannel:
    """Alice's webhook, which is told everything."""
    return channel_make(
        owner=alice, service="webhook", fields={"url": f"{messengers.url}/hook", "secret": WEBHOOK_SECRET}
    )


def channel_make(
    *, owner: User, service: str, fields: dict[str, str] | None = None, name: str = "", **more: Any
) -> AlertChannel:
    """Keep a channel that is told everything."""
    return channel_add(
        owner=owner,
        service=service,
        name=name or f"My {service}",
        fields=fields or FIELDS[service],
        kinds=more.pop("kinds", None),
        via="page",
        now=NOW,
        **more,
    )


@pytest.fixture
def verified() -> Callable[[User], str]:
    """Return a function that confirms a person's address and returns it."""

    def confirm(user: User) -> str:
        EmailAddress.objects.update_or_create(
            user=user, email=user.email, defaults={"verified": True, "primary": True}
        )
        return user.email

    return confirm
