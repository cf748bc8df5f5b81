"""What the conflict pages show: one instrument's conflict with a card and a bar per rule, and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Final

from accounts.models import Portfolio
from allocation.models import Follow
from dashboard.bars import Bar, bar_of
from dashboard.templatetags.ensemble import stance
from engine.conflict_story import HISTORY_SHOWN, ConflictStory, Holder, RuleOutcome, conflict_story
from positions.models import ConflictApproval, ConflictRecord

RULE_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "combine": ("Combine", "Nets every trader's wish."),
    "largest": ("Largest", "Only the largest wish counts."),
    "first": ("First", "Only who opened first counts."),
}
NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class RuleCard:
    """What one rule makes of the wishes, with its words and its bar; quantities are signed."""

    rule: str
    title: str
    text: str
    before: Decimal
    after: Decimal
    mark: Decimal
    change: Decimal
    value: Decimal
    capped: str
    chosen: bool
    overruled: tuple[Follow, ...]
    bar: Bar


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an instrument's history."""

    at: datetime
    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConflictPage(ConflictStory):
    """One instrument's conflict with the words and bars of its page."""

    title: str
    cards: tuple[RuleCard, ...]
    history: tuple[Event, ...]


def conflict_read(*, portfolio: Portfolio, underlying: str) -> ConflictPage:
    """Return one instrument's conflict; the newest when none stands.

    :raises NotFound: this portfolio never had one there
    """
    story = conflict_story(portfolio=portfolio, underlying=underlying)
    return ConflictPage(
        **{field.name: getattr(story, field.name) for field in fields(story)},
        title=_title(story),
        cards=tuple(_card(outcome, story.holders) for outcome in story.outcomes),
        history=_history(story.records, story.approvals),
    )


def _title(story: ConflictStory) -> str:
    """Return such as "SOL: three traders, two directions"."""
    count = NUMBERS[len(story.holders)] if len(story.holders) < len(NUMBERS) else str(len(story.holders))
    sides = "two directions" if story.kind == "opposed" else "one direction"
    return f"{story.underlying}: {count} traders, {sides}"


def _card(outcome: RuleOutcome, holders: Sequence[Holder]) -> RuleCard:
    title, text = RULE_TEXTS[outcome.rule.value]
    wishes = list(zip(holders, outcome.counted, strict=True))
    return RuleCard(
        rule=outcome.rule.value,
        title=title,
        text=text,
        before=outcome.before,
        after=outcome.after,
        mark=outcome.mark,
        change=outcome.change,
        value=outcome.value,
        capped=outcome.capped,
        chosen=outcome.chosen,
        overruled=tuple(holder.follow for holder, counts in wishes if not counts),
        bar=bar_of(
            parts=[
                (holder.quantity, holder.follow.trader.monogram, holder.follow.hue, counts)
                for holder, counts in wishes
            ],
            before=outcome.before,
            after=outcome.after,
        ),
    )


def _history(records: Sequence[ConflictRecord], approvals: Sequence[ConflictApproval]) -> tuple[Event, ...]:
    """Return what happened about this instrument, newest first."""
    events: list[Event] = []
    begun = {record.at for record in records}  # where the next begins at once, that says enough
    for record in records:
        capped = f"Limit: {record.capped_reason}" if record.capped_reason else ""
        title = RULE_TEXTS[record.rule][0]
        before = stance(record.before_quantity, record.mark_price).lower()
        after = stance(record.after_quantity, record.mark_price).lower()
        events.append(Event(record.at, f"{title}: {before} to {after}", capped))
        if record.ended_at is not None and record.ended_at not in begun:
            events.append(Event(record.ended_at, "Over: the wishes changed, or only one is left"))
    for approval in approvals:
        events.append(Event(approval.asked_at, "Approval asked for"))
        if approval.decided_at is not None:
            rule = f" with {approval.rule}" if approval.rule else ""
            events.append(
                Event(approval.decided_at, f"{approval.get_status_display()}{rule}", approval.decided_by)
            )
    return tuple(sorted(events, key=lambda event: event.at, reverse=True)[:HISTORY_SHOWN])
