"""What tests of the feed need: a clock moved by hand, and what would be above the feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from markets.domain.venue_listing import VenueSection
from markets.feed_hooks import FeedHooks
from markets.feed_state import FeedState
from traders.recordings import recorded_events_between


class HandClock:
    """A clock that is moved by hand; its monotonic seconds move along."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._began_at = at

    def now(self) -> datetime:
        """Return the moment it was moved to."""
        return self.at

    def monotonic_s(self) -> float:
        """Return the seconds moved so far."""
        return (self.at - self._began_at).total_seconds()

    def move(self, seconds: float) -> None:
        """Move on."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Above:
    """What the packages above the feed would be: it answers, and remembers what it was told."""

    marks: list[str] = field(default_factory=list)
    moved: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    restart: bool = False
    wanted: bool = True
    codes: tuple[str, ...] = ()
    sections: tuple[VenueSection, ...] = ()

    def hooks(self) -> FeedHooks:
        """Return the feed's hooks into this."""
        return FeedHooks(
            on_marks=lambda world: self.marks.append(world.name),
            trader_events=lambda world, after, until: recorded_events_between(
                world=world, after_at=after, until_at=until
            ),
            on_trader_events=lambda world, keys: self.moved.append((world, keys)),
            may_restart=lambda world: self.restart,
            live_wanted=lambda: self.wanted,
            live_codes=lambda: self.codes,
            live_sections=lambda: self.sections,
        )


def feed_state_make(*, waiting: int = 0) -> FeedState:
    """Return what a feed tells of itself at noon, an hour after its socket was opened."""
    noon = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    return FeedState(
        at=noon,
        wanted=True,
        socket_since=noon - timedelta(hours=1),
        socket_heard_at=noon,
        socket_lost=2,
        socket_why="SocketLost: no prices for 31 s",
        garbage=0,
        told=1000,
        refused=3,
        doubted=1,
        waiting=waiting,
        thinned=0,
        tape_entries=900,
    )
