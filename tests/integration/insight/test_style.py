"""A trader's change of style, from its snapshots to its followers (BEY-7)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from core.errors import InputError, NotFound
from engine.models import Decision, StyleDismissal
from engine.selectors import portfolio_view
from engine.style import alarms_standing, style_action_set, style_dismiss, style_watch
from tests.integration.engine.stage import Stage, stage_open
from tests.stateful.worlds import MadeUpWorld
from traders.domain.style import Measure
from traders.models import StyleAlarm, StyleHour, TraderSnapshot
from traders.style import style_prune

D = Decimal
HOUR = timedelta(hours=1)


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """One trader with ten days of the same: half its equity in ETH, read every hour, never traded."""
    stage = stage_open(play=made_up, owner=alice, traders=1)
    trader = stage.follows[0].trader
    now = made_up.now
    TraderSnapshot.objects.bulk_create(
        TraderSnapshot(
            trader=trader,
            world_at=now - timedelta(days=10) + step * HOUR,
            received_at=now - timedelta(days=10) + step * HOUR,
            equity=D(10000),
            positions=[position("ETH", "1.25", made_up)],
            first_seen={"ETH": (now - timedelta(days=10)).isoformat()},
        )
        for step in range(240)
    )
    return stage


def position(code: str, quantity: str, play: MadeUpWorld) -> dict[str, str | None]:
    price = str(play.prices[code])
    return {
        "code": code,
        "quantity": quantity,
        "entry_price": price,
        "mark_price": price,
        "opened_at": None,
    }


def live_on(stage: Stage, hours: int, code: str, quantity: str) -> None:
    """Let hours go by in which the trader is read once an hour, with one position."""
    trader = stage.follows[0].trader
    begun_at = stage.play.now
    rows = [
        TraderSnapshot(
            trader=trader,
            world_at=begun_at + step * HOUR,
            received_at=begun_at + step * HOUR,
            equity=D(10000),
            positions=[position(code, quantity, stage.play)],
            first_seen={code: begun_at.isoformat()},
        )
        for step in range(hours)
    ]
    TraderSnapshot.objects.bulk_create(rows)
    stage.play.pass_time(seconds=hours * 3600)


def watch(stage: Stage) -> int:
    """Look until nothing is left to sum up; return how many followers were told something."""
    return sum(style_watch(now=stage.play.now) for _ in range(6))


def test_a_steady_trader_raises_nothing(stage: Stage) -> None:
    """Ten days are summed up hour by hour, each once."""
    assert watch(stage) == 0
    assert StyleHour.objects.count() == 240
    assert StyleAlarm.objects.count() == 0
    assert watch(stage) == 0
    assert StyleHour.objects.count() == 240


def test_five_times_the_leverage_is_told_once_with_its_figures(stage: Stage) -> None:
    """From half to two and a half times its equity: told once, and not again the next hour."""
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    assert watch(stage) == 2  # buying that much is a turnover it never had
    assert set(StyleAlarm.objects.values_list("measure", flat=True)) == {Measure.LEVERAGE, Measure.TURNOVER}
    alarm = StyleAlarm.objects.get(measure=Measure.LEVERAGE)
    assert alarm.text == "Leverage 0.5x to 2.5x"
    assert (round(alarm.before, 6), round(alarm.after, 6)) == (0.5, 2.5)
    told = Decision.objects.get(kind="style", reason__startswith="Leverage")
    assert told.text.endswith("changed its style")
    assert told.reason.startswith("Leverage 0.5x to 2.5x. It is copied as before")
    assert list(told.follows.values_list("pk", flat=True)) == [stage.follows[0].pk]
    live_on(stage, 1, "ETH", "6.25")
    watch(stage)
    assert StyleAlarm.objects.count() == 2
    assert Decision.objects.filter(kind="style", text__endswith="changed its style").count() == 2
    card = portfolio_view(portfolio=stage.portfolio)["traders"][str(stage.follows[0].pk)]
    assert "Leverage 0.5x to 2.5x" in [each["text"] for each in card["style"]]
    assert card["style_action"] == "warn"


def test_other_instruments_are_a_change_of_style(stage: Stage) -> None:
    """From ETH to DOGE."""
    watch(stage)
    live_on(stage, 24, "DOGE", "25000")
    watch(stage)
    alarm = StyleAlarm.objects.get(measure=Measure.INSTRUMENTS)
    assert "DOGE 0 % to 100 %" in alarm.text
    assert "ETH 100 % to 0 %" in alarm.text


def test_what_comes_back_is_over(stage: Stage) -> None:
    """A day later it trades as before: the alarm ends, and its followers are told."""
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    watch(stage)
    live_on(stage, 26, "ETH", "1.25")
    watch(stage)
    assert StyleAlarm.objects.get(measure=Measure.LEVERAGE).ended_at is not None
    assert Decision.objects.filter(kind="style", text__endswith="trades as before").count() >= 1


def test_nothing_is_opened_for_it_until_its_owner_dismisses_the_change(stage: Stage) -> None:
    """Block: what it opens waits, what it closes does not; dismissed, the entry goes."""
    follow = stage.follows[0]
    style_action_set(follow=follow, action="block", now=stage.play.now)
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    watch(stage)
    stage.hold(1, "DOGE", "10000")
    stage.settle()
    assert stage.held("DOGE") == 0
    assert stage.orders == 0
    refused = Decision.objects.get(kind="refused", underlying="DOGE")
    assert refused.text.startswith("Withheld DOGE")
    assert "its style changed (Leverage 0.5x to 2.5x)" in refused.reason
    for alarm in alarms_standing(follows=[follow])[follow.pk]:
        style_dismiss(follow=follow, alarm_id=alarm.pk, now=stage.play.now)
    stage.settle()
    assert stage.held("DOGE") > 0


def test_what_is_held_is_reduced_though_entries_are_blocked(stage: Stage) -> None:
    """A trader's full close always passes."""
    stage.hold(1, "DOGE", "10000")
    stage.settle()
    assert stage.held("DOGE") > 0
    style_action_set(follow=stage.follows[0], action="block", now=stage.play.now)
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    watch(stage)
    assert alarms_standing(follows=stage.follows)
    stage.hold(1, "DOGE", "0")
    stage.settle()
    assert stage.held("DOGE") == 0


def test_the_same_change_again_is_no_news_after_it_was_dismissed(stage: Stage) -> None:
    """Dismissed, over, and back within the month: it is dismissed by itself."""
    follow = stage.follows[0]
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    watch(stage)
    first = StyleAlarm.objects.get(measure=Measure.LEVERAGE)
    for alarm in StyleAlarm.objects.all():
        style_dismiss(follow=follow, alarm_id=alarm.pk, now=stage.play.now)
        style_dismiss(follow=follow, alarm_id=alarm.pk, now=stage.play.now)
    assert StyleDismissal.objects.count() == StyleAlarm.objects.count()
    assert alarms_standing(follows=[follow]) == {}
    StyleAlarm.objects.filter(pk=first.pk).update(ended_at=stage.play.now)
    told = Decision.objects.filter(kind="style").count()
    live_on(stage, 1, "ETH", "6.25")
    watch(stage)
    assert StyleAlarm.objects.filter(measure=Measure.LEVERAGE, ended_at__isnull=True).count() == 1
    assert alarms_standing(follows=[follow]) == {}
    assert Decision.objects.filter(kind="style").count() == told


def test_an_alarm_of_somebody_elses_trader_is_not_there(stage: Stage) -> None:
    """By its number alone nobody dismisses anything."""
    follow = stage.follows[0]
    with pytest.raises(NotFound):
        style_dismiss(follow=follow, alarm_id=10**6, now=stage.play.now)
    with pytest.raises(InputError, match="warn, block"):
        style_action_set(follow=follow, action="shout", now=stage.play.now)


def test_an_alarm_stands_once(stage: Stage) -> None:
    """Two workers at once cannot raise it twice."""
    trader = stage.follows[0].trader
    row = {"trader": trader, "run": 1, "measure": "leverage", "before": 1, "after": 9, "z": 9}
    StyleAlarm.objects.create(**row, world_at=stage.play.now)
    with pytest.raises(IntegrityError, match="style_alarm_stands_once"), transaction.atomic():
        StyleAlarm.objects.create(**row, world_at=stage.play.now)


def test_hours_beyond_the_history_are_deleted(stage: Stage) -> None:
    """Thirty days and two; nothing younger goes."""
    watch(stage)
    assert style_prune(now=stage.play.now) == 0
    assert style_prune(now=stage.play.now + timedelta(days=27)) > 0
    assert StyleHour.objects.exists()


def test_page_and_api_are_the_owners_alone(stage: Stage, alice: Any, charlie: Any) -> None:
    """Alice dismisses and chooses by page and by API; Charlie finds nothing there."""
    watch(stage)
    live_on(stage, 24, "ETH", "6.25")
    watch(stage)
    follow, alarm = stage.follows[0], StyleAlarm.objects.get(measure=Measure.LEVERAGE)
    StyleAlarm.objects.exclude(pk=alarm.pk).delete()
    page = reverse("dashboard:follow_style", args=[stage.portfolio.pk, follow.pk])
    address = reverse("api:style_dismiss", args=[stage.portfolio.pk, follow.pk, alarm.pk])
    own = reverse("api:follow", args=[stage.portfolio.pk, follow.pk])
    mine, theirs = Client(), Client()
    mine.force_login(alice)
    theirs.force_login(charlie)
    assert theirs.post(page, {"do": "block"}).status_code == 404
    assert theirs.post(address).status_code == 404
    assert theirs.patch(own, {"style_action": "block"}, content_type="application/json").status_code == 404
    assert stage.follows[0].style_action == "warn"
    assert mine.post(page, {"do": "block"}).status_code == 302
    assert stage.follows[0].style_action == "block"
    answer = mine.patch(own, {"style_action": "warn"}, content_type="application/json")
    assert answer.json()["style_action"] == "warn"
    assert mine.post(address).status_code == 204
    assert alarms_standing(follows=stage.follows) == {}
    StyleDismissal.objects.all().delete()
    assert mine.post(page, {"do": "dismiss"}).status_code == 302
    assert alarms_standing(follows=stage.follows) == {}
