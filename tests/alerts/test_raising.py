"""OPS-1: what is raised reaches the right people, once, in the transaction of what happened."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Portfolio, User
from alerts.channels import alerts_read, quiet_hours_set
from alerts.models import Alert, AlertChannel, AlertDelivery
from alerts.raising import alert_raise, alerts_end, alerts_prune
from alerts.selectors import alerts_of, alerts_unread
from tests.alerts.conftest import NOW, channel_make
from tests.api.making import portfolio_make
from tests.loopback.messengers import Messengers

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_make(owner=alice)


def raised(portfolio: Portfolio, *, kind: str = "breaker", key: str = "a", **more: Any) -> list[Alert]:
    at = more.pop("at", NOW)
    return alert_raise(
        kind=kind, key=key, title="Drawdown", body="why", portfolio_id=portfolio.pk, at=at, **more
    )


def test_the_owner_is_told_and_nobody_else(portfolio: Portfolio, alice: User, charlie: User) -> None:
    """One row, unread, with what happened."""
    made = raised(portfolio)
    assert [(one.owner, one.title, one.body, one.count, one.read_at) for one in made] == [
        (alice, "Drawdown", "why", 1, None)
    ]
    assert list(alerts_of(user=alice)) == made
    assert list(alerts_of(user=charlie)) == []
    assert (alerts_unread(owner_id=alice.pk), alerts_unread(owner_id=charlie.pk)) == (1, 0)


def test_nothing_is_told_of_what_did_not_happen(portfolio: Portfolio, webhook: AlertChannel) -> None:
    """An alert goes with its transaction."""
    with transaction.atomic():
        assert len(raised(portfolio)) == 1
        transaction.set_rollback(True)
    assert not Alert.objects.exists()
    assert not AlertDelivery.objects.exists()


def test_operators_and_administrators_are_told_of_the_platform(alice: User, bob: User, charlie: User) -> None:
    """Roles decide; who was deactivated is not told."""
    User.objects.filter(pk=bob.pk).update(role="operator", is_staff=True)
    root = User.objects.create_superuser("root@example.com", "a long enough password")
    gone = User.objects.create_superuser("gone@example.com", "a long enough password", is_active=False)
    made = alert_raise(kind="workers", key="worker:a", title="silent", at=NOW, standing=True)
    assert {one.owner for one in made} == {bob, root}
    assert gone not in {one.owner for one in made}


def test_the_same_again_counts_up_until_the_window_is_over(portfolio: Portfolio, settings: Any) -> None:
    """Within 15 minutes nobody is told anew; afterwards the next one says how often it was."""
    settings.ALERTS_REPEAT_MINUTES = 15
    (first,) = raised(portfolio)
    Alert.objects.filter(pk=first.pk).update(told=1, read_at=NOW)
    for minutes in (1, 5, 14):
        assert raised(portfolio, at=NOW + timedelta(minutes=minutes)) == []
    first.refresh_from_db()
    assert (first.count, first.last_at, first.read_at) == (4, NOW + timedelta(minutes=14), None)
    (second,) = raised(portfolio, at=NOW + timedelta(minutes=15))
    assert (second.count, second.missed) == (1, 3)
    assert raised(portfolio, key="b", at=NOW + timedelta(minutes=15)) != []


def test_what_lasts_is_told_once_and_once_when_it_ends(
    portfolio: Portfolio, webhook: AlertChannel, alice: User
) -> None:
    """However long it lasts, and again the next time."""
    assert len(raised(portfolio, kind="trader", key="trader:1", standing=True)) == 1
    assert raised(portfolio, kind="trader", key="trader:1", standing=True, at=NOW + timedelta(days=2)) == []
    assert alerts_end(key="trader:2", title="not this one", at=NOW) == 0
    assert alerts_end(key="trader:1", title="Read again", at=NOW + timedelta(days=3)) == 1
    assert alerts_end(key="trader:1", title="Read again", at=NOW + timedelta(days=3)) == 0
    told = list(alerts_of(user=alice).values_list("title", "kind", "open"))
    assert told == [("Read again", "trader", True), ("Drawdown", "trader", False)]
    assert AlertDelivery.objects.count() == 2
    assert (
        len(raised(portfolio, kind="trader", key="trader:1", standing=True, at=NOW + timedelta(days=4))) == 1
    )


def test_only_chosen_kinds_go_to_a_channel(portfolio: Portfolio, alice: User, messengers: Messengers) -> None:
    """The list in the page has everything, whatever is chosen."""
    chosen = channel_make(owner=alice, service="telegram", kinds=["conflict"])
    switched_off = channel_make(owner=alice, service="slack")
    AlertChannel.objects.filter(pk=switched_off.pk).update(enabled=False)
    raised(portfolio)
    raised(portfolio, kind="conflict", key="c")
    assert [(d.alert.kind, d.channel) for d in AlertDelivery.objects.all()] == [("conflict", chosen)]
    assert alerts_unread(owner_id=alice.pk) == 2


def test_quiet_hours_hold_back_what_can_wait(
    portfolio: Portfolio, alice: User, webhook: AlertChannel
) -> None:
    """In Warsaw 12:00 UTC is 13:00; a conflict waits until 15:00 there, a breaker does not."""
    alice.time_zone = "Europe/Warsaw"
    alice.save()
    quiet_hours_set(user=alice, begins=time(13), ends=time(15))
    raised(portfolio, kind="conflict", key="c")
    raised(portfolio)
    due = {d.alert.kind: d.due_at for d in AlertDelivery.objects.all()}
    assert due == {"conflict": NOW + timedelta(hours=2), "breaker": NOW}


def test_reading_is_ones_own(portfolio: Portfolio, alice: User, charlie: User) -> None:
    """Somebody else's numbers do nothing."""
    (one,) = raised(portfolio)
    raised(portfolio, key="b")
    assert alerts_read(user=charlie, alert_ids=[one.pk], now=NOW) == 0
    assert alerts_read(user=alice, alert_ids=[one.pk], now=NOW) == 1
    assert alerts_unread(owner_id=alice.pk) == 1
    assert alerts_read(user=alice, alert_ids=None, now=NOW) == 1
    assert alerts_unread(owner_id=alice.pk) == 0


def test_old_alerts_go_and_what_stands_stays(portfolio: Portfolio, settings: Any) -> None:
    """After 90 days, unless it still lasts."""
    raised(portfolio)
    raised(portfolio, kind="trader", key="t", standing=True)
    assert alerts_prune(now=NOW + timedelta(days=settings.ALERTS_RETENTION_DAYS)) == 0
    assert alerts_prune(now=NOW + timedelta(days=settings.ALERTS_RETENTION_DAYS, seconds=1)) == 1
    assert [one.key for one in Alert.objects.all()] == ["t"]
