"""SEC-1: an address that was entered is nowhere but sealed, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.test import Client

from accounts.models import User
from alerts.channels import channel_test
from alerts.delivering import deliveries_work
from alerts.models import AlertChannel
from alerts.raising import alert_raise
from tests.alerts.conftest import (
    DISCORD_URL,
    FIELDS,
    NOW,
    SLACK_URL,
    TELEGRAM_TOKEN,
    WEBHOOK_SECRET,
    StillClock,
    channel_make,
)
from tests.api.making import portfolio_make
from tests.keys.test_leaks import _everything_stored, _redis, log
from tests.loopback.messengers import Messengers

__all__ = ["log"]
pytestmark = pytest.mark.django_db
HOOK = "a-part-of-the-path-that-is-secret"
NEEDLES = (
    TELEGRAM_TOKEN.partition(":")[2],
    SLACK_URL.rpartition("/")[2],
    DISCORD_URL.rpartition("/")[2],
    WEBHOOK_SECRET,
    HOOK,
)


def assert_clean(text: str, where: str) -> None:
    assert not any(needle in text for needle in NEEDLES), f"an address is in {where}"


@pytest.fixture
def channels(alice: User, messengers: Messengers) -> list[AlertChannel]:
    fields = {**FIELDS, "webhook": {"url": f"{messengers.url}/{HOOK}", "secret": WEBHOOK_SECRET}}
    return [channel_make(owner=alice, service=service, fields=one) for service, one in fields.items()]


@pytest.mark.parametrize("how", ["taken", "refused", "quoted", "nobody there", "private"])
def test_no_address_is_anywhere(
    channels: list[AlertChannel], alice: User, messengers: Messengers, log: Callable[[], str],
    redis_client: redis.Redis, client_of: Callable[[Any], Client], settings: Any, clock: StillClock,
    monkeypatch: pytest.MonkeyPatch, how: str,
) -> None:  # fmt: skip
    """Logs at DEBUG, pages, the admin, database and Redis, after sending and testing."""
    if how == "refused":
        messengers.answer_with(500, "down", times=20)
    elif how == "quoted":
        messengers.answer_with(
            400, {"ok": False, "description": f"bad {TELEGRAM_TOKEN}, {NEEDLES[0]}"}, times=20
        )
    elif how == "nobody there":
        refused = ConnectionRefusedError(f"nobody at {' '.join(NEEDLES)}")
        monkeypatch.setattr("alerts.network._connect", _raiser(refused))
    elif how == "private":
        settings.ALERTS_ALLOW_PRIVATE = False
    portfolio = portfolio_make(owner=alice)
    alert_raise(kind="breaker", key="a", title="Drawdown", portfolio_id=portfolio.pk, at=NOW)
    assert deliveries_work(clock=clock) == (4 if how == "taken" else 0)
    errors = [channel_test(channel=channel, now=NOW) for channel in channels]
    assert all(errors) == (how != "taken")
    assert_clean(" ".join(errors), "what the owner is told")
    assert_clean(client_of(alice).get("/account/alerts/").content.decode(), "the page")
    root = client_of(User.objects.create_superuser("root@example.com", "a long enough password"))
    for channel in channels:
        body = root.get(f"/admin/alerts/alertchannel/{channel.pk}/change/").content.decode()
        assert channel.sealed not in body
        assert_clean(body, "the admin")
    assert_clean(log(), "the log")
    stored = _everything_stored()
    for channel in channels:
        stored = stored.replace(channel.sealed, "")
    assert_clean(stored, "the database")
    assert_clean(_redis(redis_client), "Redis")


def _raiser(error: Exception) -> Callable[..., Any]:
    def raising(*_: Any, **__: Any) -> Any:
        raise error

    return raising
