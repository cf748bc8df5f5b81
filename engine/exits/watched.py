"""One guarded position as the watch knows it, and what one price does to it, decided exactly.

The book beside it (``engine.exits.book``) only finds candidates; whatever it finds is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from core.decimals import ONE
from markets.tape import START, Tick, TickKey, place_of
from positions.domain.exits import Exit, ExitKind, ExitState, exit_step, state_move

_NUMBER_BITS: Final = 20


def place_number(entry_id: str) -> int:
    """Return a place on the tape as one number that compares as the tape runs."""
    milliseconds, number = place_of(entry_id or START)
    return (milliseconds << _NUMBER_BITS) + number


@dataclass(slots=True)
class Watched:
    """A guarded position in one life on one side.

    :param key: world, run and code of what is held
    :param since_us: wall time in microseconds; prices that arrived later are looked at
    :param levels_us: wall time; prices that arrived later can hit the levels
    :param place: where on the tape ``state`` stands; a price up to there cannot hit anything any more. Empty
        where nobody has looked at this version of the guard yet
    :param trail_place: where its trailing stop stands, whatever the version; a price up to there was held
        against it, and must not be held against what later prices made of it
    """

    position_id: int
    portfolio_id: int
    key: TickKey
    episode: int
    version: int
    state: ExitState
    since_us: int
    levels_us: int
    place: str = ""
    trail_place: str = ""

    def may_hit(self, tick: Tick, place: int) -> bool:
        """Tell whether a price is new enough to hit the levels as they stand."""
        return tick.received_us > self.levels_us and place > place_number(self.place)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a set of positions and the versions of their guards add up to; equal sets have equal tallies.

    Versions only ever rise, so what is missed, left over or older on one side shows in one of the sums.
    """

    count: int = 0
    positions: int = 0
    versions: int = 0
    both: int = 0

    def moved(self, row: Watched, *, by: int) -> Tally:
        """Return the tally with a position taken in (1) or let go (-1)."""
        return Tally(
            self.count + by,
            self.positions + by * row.position_id,
            self.versions + by * row.version,
            self.both + by * row.position_id * row.version,
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A price closes a position or a part of it.

    :param place: of the price on the tape; empty where it was not read from there
    :param steps_done: steps of take profit taken once this is stored
    """

    row: Watched
    found: Exit
    tick: Tick
    place: str
    steps_done: int

    @property
    def ends(self) -> bool:
        """Whether nothing of the position is left to watch; a full take profit may still meet its stop."""
        return self.found.fraction == ONE and self.found.kind is not ExitKind.TAKE_PROFIT


def is_price(price: Decimal) -> bool:
    """Tell whether a number can be a price: what is not above zero is none, and closes nothing."""
    return price.is_finite() and price > 0


def price_look(*, row: Watched, state: ExitState, tick: Tick, place: str) -> tuple[ExitState, Hit | None]:
    """Look at one price of a position: return its state afterwards, and what closes it or a part of it.

    :param state: of ``row`` as it is now, which may be further than ``row.state``
    """
    if tick.received_us <= row.since_us or not is_price(tick.price):
        return state, None
    if not row.may_hit(tick, place_number(place)):
        return state_move(state=state, price=tick.price), None
    before = state
    if state.trail_price is not None and place_number(place) <= place_number(row.trail_place):
        before = replace(state, trail_price=None)
    after, found = exit_step(state=before, price=tick.price, world_at=tick.quoted_at)
    if before is not state:
        after = replace(state_move(state=state, price=tick.price), steps_done=after.steps_done)
    if found is None:
        return after, None
    if found.fraction == ONE and found.kind is ExitKind.TAKE_PROFIT:
        after = replace(state_move(state=state, price=tick.price), steps_done=len(state.plan.take_profit))
    return after, Hit(row=row, found=found, tick=tick, place=place, steps_done=after.steps_done)


def prices_look(*, row: Watched, ticks: Iterable[tuple[str, Tick]]) -> list[Hit]:
    """Bring one position up to date with recorded prices, oldest first, and return what they close.

    Stops at the price that closes all of it.
    """
    hits: list[Hit] = []
    for place, tick in ticks:
        row.state, hit = price_look(row=row, state=row.state, tick=tick, place=place)
        if hit is not None:
            hits.append(hit)
            if hit.ends:
                break
    return hits
