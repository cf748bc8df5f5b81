"""A trader's change of style, for those who follow it: told, dismissed, or kept from opening more (BEY-7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import log
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from allocation.capital import capital_version_raise
from allocation.models import Follow
from core.errors import InputError, NotFound
from engine.alerting import styles_tell
from engine.decisions import DecisionNote, Told, decision_store, decisions_tell
from engine.models import StyleDismissal
from engine.publishing import portfolio_changed, portfolios_changed
from engine.wake import cycles_wake
from markets.models import World
from traders.models import StyleAlarm
from traders.style import style_update

NORMAL_FOR: Final = timedelta(days=30)  # after a dismissal the same change is no news for so long
NO_FURTHER: Final = log(1.25)  # the same change: on the same side, and at most a quarter further


def style_watch(*, now: datetime) -> int:
    """Judge the traders who have a new hour, and tell their followers what began or ended; return how many.

    Stored per portfolio as a decision; who blocks entries on a change of style decides anew at once.
    """
    news = style_update(now=now)
    if not news.raised and not news.ended:
        return 0
    with transaction.atomic():
        _dismissed_again(news.raised, now)
        began, ended = _concerned(news.raised), _concerned(news.ended)
        told = [*_told(began, now, began=True), *_told(ended, now, began=False)]
        decisions_tell(told=told, now=now)
        styles_tell(follows=began, at=now)
        concerned = sorted({item.portfolio_id for item in told})
        cycles_wake(portfolio_ids=concerned, now=now, why="a trader's style changed")
    portfolios_changed(portfolio_ids=concerned)
    return len(told)


def alarms_standing(*, follows: Iterable[Follow]) -> dict[int, list[StyleAlarm]]:
    """Return, by follow, the alarms of its trader that stand and were not dismissed: two queries.

    :param follows: of one portfolio
    """
    by_trader = {follow.trader_id: follow.pk for follow in follows}
    standing = StyleAlarm.objects.filter(trader__in=by_trader, ended_at__isnull=True).order_by("pk")
    dismissals = StyleDismissal.objects.filter(follow__in=by_trader.values(), alarm__ended_at__isnull=True)
    dismissed = set(dismissals.values_list("follow_id", "alarm_id"))
    found: dict[int, list[StyleAlarm]] = defaultdict(list)
    for alarm in standing:
        follow_id = by_trader[alarm.trader_id]
        if (follow_id, alarm.pk) not in dismissed:
            found[follow_id].append(alarm)
    return dict(found)


def withheld_read(*, follows: Sequence[Follow]) -> dict[int, str]:
    """Return, by follow, why nothing is opened for it: its style changed and its owner blocks it then."""
    blocking = [follow for follow in follows if follow.style_action == Follow.StyleAction.BLOCK]
    standing = alarms_standing(follows=blocking) if blocking else {}
    return {
        follow_id: f"its style changed ({alarms[0].text}) and you let nothing be opened for it then"
        for follow_id, alarms in standing.items()
    }


@transaction.atomic
def style_dismiss(*, follow: Follow, alarm_id: int, now: datetime) -> None:
    """Take a change of style for the trader's new normal; entries that waited for this go on.

    Twice is harmless.

    :raises NotFound: the trader of this follow has no such alarm standing
    """
    alarm = StyleAlarm.objects.filter(pk=alarm_id, trader=follow.trader_id, ended_at__isnull=True).first()
    if alarm is None:
        raise NotFound("There is no such change of style, or it is over already.", field="alarm")
    _, made = StyleDismissal.objects.get_or_create(follow=follow, alarm=alarm, defaults={"at": now})
    if made:
        _changed(follow, text=f"{follow.trader.name}: new normal", reason=alarm.text, now=now)


@transaction.atomic
def style_action_set(*, follow: Follow, action: str, now: datetime) -> Follow:
    """Choose what a change of style does: "warn", or "block" its entries until it is dismissed.

    :raises InputError: another word
    """
    if action not in Follow.StyleAction.values:
        known = ", ".join(Follow.StyleAction.values)
        raise InputError(f"It must be one of {known}; got “{action}”.", field="style_action")
    if follow.style_action != action:
        follow.style_action = action
        follow.save(update_fields=["style_action"])
        blocks = action == Follow.StyleAction.BLOCK
        reason = "Nothing is opened for it until you dismiss it" if blocks else "You are told, nothing else"
        _changed(follow, text=f"When {follow.trader.name} changes its style", reason=reason, now=now)
    return follow


def _changed(follow: Follow, *, text: str, reason: str, now: datetime) -> None:
    """Record what the owner did, outdate decisions in flight, and let cycle and pages look again."""
    portfolio = follow.portfolio
    capital_version_raise(portfolio_id=portfolio.pk)
    note = DecisionNote(kind="style", text=text, reason=reason, follow_ids=[follow.pk])
    decision_store(portfolio=portfolio, note=note, now=now)
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="a trader's style was judged")
    portfolio_changed(portfolio_id=portfolio.pk)


def _followers(alarms: Iterable[StyleAlarm]) -> QuerySet[Follow]:
    rows = Follow.objects.filter(trader__in={alarm.trader_id for alarm in alarms})
    return rows.exclude(status=Follow.Status.REMOVED).order_by("pk")


def _concerned(alarms: Sequence[StyleAlarm]) -> list[tuple[Follow, StyleAlarm]]:
    """Return each follow with each alarm of its trader that it did not dismiss."""
    if not alarms:
        return []
    by_trader: dict[int, list[StyleAlarm]] = defaultdict(list)
    for alarm in alarms:
        by_trader[alarm.trader_id].append(alarm)
    dismissals = StyleDismissal.objects.filter(alarm__in=alarms)
    dismissed = set(dismissals.values_list("follow_id", "alarm_id"))
    return [
        (follow, alarm)
        for follow in _followers(alarms)
        for alarm in by_trader[follow.trader_id]
        if (follow.pk, alarm.pk) not in dismissed
    ]


def _told(concerned: Sequence[tuple[Follow, StyleAlarm]], now: datetime, *, began: bool) -> list[Told]:
    """Write one decision for each follow and alarm."""
    if not concerned:
        return []
    worlds = {world.name: world for world in World.objects.all()}
    return [
        Told(
            portfolio_id=follow.portfolio_id,
            note=_note(follow, alarm, began=began),
            world_at=worlds[alarm.trader.world].clock().at(now),
            run=worlds[alarm.trader.world].run,
        )
        for follow, alarm in concerned
    ]


def _note(follow: Follow, alarm: StyleAlarm, *, began: bool) -> DecisionNote:
    name = alarm.trader.name
    if not began:
        text, reason = f"{name} trades as before", f"Over: {alarm.text}"
    elif follow.style_action == Follow.StyleAction.BLOCK:
        text = f"{name} changed its style"
        reason = f"{alarm.text}. Nothing is opened for it until you dismiss this."
    else:
        text = f"{name} changed its style"
        reason = f"{alarm.text}. It is copied as before; look whether you want that."
    return DecisionNote(
        kind="style",
        text=text,
        reason=reason,
        follow_ids=[follow.pk],
        data={"measure": alarm.measure, "before": f"{alarm.before:.4g}", "after": f"{alarm.after:.4g}"},
    )


def _dismissed_again(alarms: Iterable[StyleAlarm], now: datetime) -> None:
    """Dismiss what is no news: the same change, hardly further, was dismissed lately."""
    for alarm in alarms:
        earlier = StyleDismissal.objects.filter(
            alarm__trader=alarm.trader_id,
            alarm__measure=alarm.measure,
            alarm__run=alarm.run,
            alarm__world_at__gt=alarm.world_at - NORMAL_FOR,
        ).select_related("alarm")
        same = {row.follow_id for row in earlier if _no_further(alarm, row.alarm)}
        rows = (StyleDismissal(follow_id=pk, alarm=alarm, at=now) for pk in sorted(same))
        StyleDismissal.objects.bulk_create(rows, ignore_conflicts=True)


def _no_further(alarm: StyleAlarm, dismissed: StyleAlarm) -> bool:
    if alarm.z * dismissed.z <= 0:
        return False
    further = log((0.1 + alarm.after) / (0.1 + dismissed.after))
    return (further if alarm.z > 0 else -further) <= NO_FURTHER
