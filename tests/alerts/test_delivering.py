"""OPS-1: alerts go out by mail, Telegram, Slack, Discord and webhook, again after failures, never twice."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import time, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from accounts.models import Portfolio, User
from alerts.channels import channel_change, channel_test, quiet_hours_set
from alerts.delivering import ATTEMPTS_MOST, CLAIM_S, PAUSE, deliveries_work
from alerts.models import Alert, AlertChannel, AlertDelivery
from alerts.raising import alert_raise
from core.errors import InputError
from tests.alerts.conftest import NOW, TELEGRAM_TOKEN, WEBHOOK_SECRET, StillClock, channel_make
from tests.api.making import portfolio_make
from tests.loopback.messengers import DISCORD_429, TELEGRAM_429, MailServer, Messengers

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_make(owner=alice, name="Main")


def raised(portfolio: Portfolio, key: str = "a", *, kind: str = "breaker", at: Any = NOW) -> None:
    alert_raise(kind=kind, key=key, title=f"Alert {key}", body="why", portfolio_id=portfolio.pk, at=at)


def statuses() -> list[tuple[str, int]]:
    return list(AlertDelivery.objects.order_by("pk").values_list("status", "attempts"))


def test_each_service_gets_its_own_words(
    portfolio: Portfolio, alice: User, messengers: Messengers, clock: StillClock
) -> None:
    """Telegram, Slack and Discord are asked as they document it."""
    for service in ("telegram", "slack", "discord"):
        channel_make(owner=alice, service=service)
    raised(portfolio)
    assert deliveries_work(clock=clock) == 3
    by_path = {one.path.split("?")[0]: one.json() for one in messengers.received}
    telegram = by_path[f"/bot{TELEGRAM_TOKEN}/sendMessage"]
    assert telegram["chat_id"] == 987654321
    assert telegram["text"].splitlines() == ["<b>Main: Alert a</b>", "why", "2026-03-02 12:00 UTC"]
    slack = next(body for path, body in by_path.items() if path.startswith("/services/T1JJ3T3L2/A1BRTD4JD/"))
    assert "Main: Alert a" in str(slack)
    discord = next(
        body for path, body in by_path.items() if path.startswith("/api/webhooks/417429632418316298/")
    )
    assert "Main: Alert a" in str(discord)
    assert "why" in str(discord)
    assert statuses() == [("sent", 1)] * 3
    assert deliveries_work(clock=clock) == 0
    assert len(messengers.received) == 3


def test_a_webhook_is_signed(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """HMAC-SHA256 over time, id and body, with the secret of the channel."""
    raised(portfolio)
    assert deliveries_work(clock=clock) == 1
    (got,) = messengers.received
    signed = b".".join(
        [got.headers["x-ensemble-timestamp"].encode(), got.headers["x-ensemble-delivery"].encode(), got.body]
    )
    wanted = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert got.headers["x-ensemble-signature"] == f"sha256={wanted}"
    assert got.headers["x-ensemble-timestamp"] == str(int(NOW.timestamp()))
    body = got.json()
    assert body["title"] == "Main: Alert a"
    assert body["alerts"] == [
        {
            "id": Alert.objects.get().pk,
            "kind": "breaker",
            "title": "Alert a",
            "body": "why",
            "portfolio": portfolio.pk,
            "raised_at": NOW.isoformat(),
            "last_at": NOW.isoformat(),
            "count": 1,
        }
    ]


def test_mail_goes_to_a_confirmed_address_alone(
    portfolio: Portfolio, alice: User, bob: User, mail_server: MailServer, clock: StillClock,
    verified: Callable[[User], str],
) -> None:  # fmt: skip
    """Not to anybody else's, and not any more once it is not the owner's."""
    verified(bob)
    for address in (alice.email, bob.email):
        with pytest.raises(InputError, match="confirmed"):
            channel_make(owner=alice, service="email", fields={"address": address})
    channel_make(owner=alice, service="email", fields={"address": verified(alice)})
    raised(portfolio)
    assert deliveries_work(clock=clock) == 1
    (mail,) = mail_server.mails
    assert (mail["To"], mail["Subject"]) == (alice.email, "Main: Alert a")
    assert mail.get_content().splitlines() == ["why", "2026-03-02 12:00 UTC"]
    EmailAddress.objects.filter(user=alice).update(verified=False)
    raised(portfolio, "b", at=clock.wait(minutes=1))
    assert deliveries_work(clock=clock) == 0
    assert len(mail_server.mails) == 1
    assert AlertChannel.objects.get().error == "This e-mail address is not confirmed."


@pytest.mark.parametrize(
    ("service", "status", "body", "words"),
    [
        ("telegram", 429, TELEGRAM_429, "429"),
        ("telegram", 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}, "401"),
        ("slack", 404, "no_team", "404"),
        ("discord", 429, DISCORD_429, "429"),
        ("discord", 500, {"message": "500: Internal Server Error", "code": 0}, "500"),
        ("webhook", 503, "down", "The receiver answered 503."),
        ("webhook", 302, "", "The address leads elsewhere (302); enter the one it leads to."),
    ],
)  # fmt: skip
def test_a_failure_is_told_and_tried_again(
    portfolio: Portfolio, alice: User, messengers: Messengers, clock: StillClock, service: str, status: int,
    body: Any, words: str,
) -> None:  # fmt: skip
    """Documented refusals: nothing is lost, the next try waits, and it gets through then."""
    fields = {"url": f"{messengers.url}/hook", "secret": WEBHOOK_SECRET} if service == "webhook" else None
    channel = channel_make(owner=alice, service=service, fields=fields)
    messengers.answer_with(status, body, times=2)  # Discord's is asked twice within one try
    raised(portfolio)
    assert deliveries_work(clock=clock) == 0
    channel.refresh_from_db()
    assert words in channel.error
    assert (channel.failures, channel.next_at) == (1, NOW + timedelta(seconds=30))
    assert statuses() == [("waiting", 1)]
    messengers.script.clear()
    clock.wait(seconds=29)
    assert deliveries_work(clock=clock) == 0
    clock.wait(seconds=1)
    assert deliveries_work(clock=clock) == 1
    channel.refresh_from_db()
    assert (channel.failures, channel.error) == (0, "")
    assert statuses() == [("sent", 2)]
    assert not any(one.path == "/elsewhere" for one in messengers.received)


def test_it_gives_up_in_the_end_and_says_so(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """After eight tries with growing pauses; what is raised later is still tried."""
    messengers.answer_with(500, times=ATTEMPTS_MOST)
    raised(portfolio)
    waits = []
    for _ in range(ATTEMPTS_MOST):
        assert deliveries_work(clock=clock) == 0
        webhook.refresh_from_db()
        waits.append((webhook.next_at - clock.now()).total_seconds())
        clock.at = webhook.next_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert statuses() == [("failed", 8)]
    assert AlertDelivery.objects.get().error == "The receiver answered 500."
    raised(portfolio, "b", at=clock.now())
    assert deliveries_work(clock=clock) == 1
    assert statuses() == [("failed", 8), ("sent", 1)]


def test_a_channel_gets_a_message_at_a_time_and_what_waits_together(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """The first goes at once; those within the pause after it go out as one."""
    raised(portfolio)
    assert deliveries_work(clock=clock) == 1
    for key in "bcd":
        raised(portfolio, key, at=clock.wait(seconds=1))
    assert deliveries_work(clock=clock) == 0
    clock.at = NOW + PAUSE
    assert deliveries_work(clock=clock) == 1
    body = messengers.received[1].json()
    assert body["title"] == "Ensemble: 3 alerts"
    assert [one["title"] for one in body["alerts"]] == ["Alert b", "Alert c", "Alert d"]


def test_quiet_hours_end_with_one_digest(
    portfolio: Portfolio, alice: User, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """Two conflicts wait and go out together; the breaker between them rings at once."""
    quiet_hours_set(user=alice, begins=time(11), ends=time(13))
    raised(portfolio, "b", kind="conflict")
    raised(portfolio, "c")
    raised(portfolio, "d", kind="conflict")
    assert deliveries_work(clock=clock) == 1
    clock.wait(minutes=59)
    assert deliveries_work(clock=clock) == 0
    clock.wait(minutes=1)
    assert deliveries_work(clock=clock) == 1
    assert [one.json()["title"] for one in messengers.received] == ["Main: Alert c", "Ensemble: 2 alerts"]


def test_repeats_are_said_in_the_next_message(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """Three repeats within the window tell nobody; the message after it counts them."""
    raised(portfolio)
    assert deliveries_work(clock=clock) == 1
    for _ in range(3):
        raised(portfolio, at=clock.wait(minutes=2))
        assert deliveries_work(clock=clock) == 0
    raised(portfolio, at=clock.wait(minutes=20))
    assert deliveries_work(clock=clock) == 1
    assert [one.json()["alerts"][0]["count"] for one in messengers.received] == [1, 4]
    assert "4 times" in messengers.received[1].json()["body"]


def test_a_dead_worker_costs_a_minute_and_no_alert(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock
) -> None:
    """Its claim is void after a minute; until then nobody else sends."""
    raised(portfolio)
    AlertChannel.objects.update(claimed_at=NOW)
    clock.wait(seconds=CLAIM_S - 1)
    assert deliveries_work(clock=clock) == 0
    assert messengers.received == []
    clock.wait(seconds=1)
    assert deliveries_work(clock=clock) == 1
    assert len(messengers.received) == 1


def test_a_test_message_says_what_came_of_it(
    alice: User, webhook: AlertChannel, messengers: Messengers
) -> None:
    """Sent at once; the reason of a failure is shown, and too many tests are refused."""
    assert channel_test(channel=webhook, now=NOW) == ""
    assert messengers.received[0].json()["title"] == "Test from Ensemble"
    messengers.answer_with(410)
    assert channel_test(channel=webhook, now=NOW) == "The receiver answered 410."
    webhook.refresh_from_db()
    assert webhook.error == "The receiver answered 410."
    for _ in range(18):
        channel_test(channel=webhook, now=NOW)
    with pytest.raises(InputError, match="Wait an hour"):
        channel_test(channel=webhook, now=NOW)
    assert len(messengers.received) == 20


def test_nothing_old_goes_out_when_a_channel_is_switched_on_again(
    portfolio: Portfolio, webhook: AlertChannel, messengers: Messengers, clock: StillClock, alice: User
) -> None:
    """What waited when it was switched off is let go; and who was deactivated is not written to."""
    raised(portfolio)
    channel_change(channel=webhook, enabled=False, via="page", now=NOW)
    channel_change(channel=webhook, enabled=True, via="page", now=NOW)
    assert deliveries_work(clock=clock) == 0
    raised(portfolio, "b")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert deliveries_work(clock=clock) == 0
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert deliveries_work(clock=clock) == 1
    assert [one.json()["title"] for one in messengers.received] == ["Main: Alert b"]
