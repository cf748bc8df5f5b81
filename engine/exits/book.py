"""The levels of many positions side by side, so that a price which can trigger nothing costs next to nothing.

Per instrument and side there are arrays of floats, normalised so that up is good for both sides (a short's
prices are negative). They are a filter and never decide: each level stands a little closer than it is, so
that none is missed, and what comes through is decided in Decimal (``engine.exits.watched``). In front of
the arrays stand four numbers: the level below that is hit first, the one above, the lowest of the best
prices so far, and the next time stop. A price between them is compared with those and nothing else.

Best prices move for all positions of a side at once; the Decimal of each is looked up when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from math import inf
from typing import Final

import numpy as np

from engine.exits.watched import Hit, Tally, Watched, place_number, price_look
from markets.domain.moments import us_of
from markets.tape import Tick, TickKey
from positions.domain.exits import ExitState, at_gain, tighter

NEVER_US: Final = np.iinfo(np.int64).max
RELATIVE: Final = 1e-12  # far above the error of a float, far below the step of any price
ABSOLUTE: Final = 1e-12  # levels are rounded to 12 places
FIRST_ROOM: Final = 8
OWN: Final = -1  # the best price is the one in the row's own state


def closer(level: float, *, up: bool) -> float:
    """Return a level a little closer to the price than it is, so that the filter misses nothing."""
    margin = abs(level) * RELATIVE + ABSOLUTE
    return level - margin if up else level + margin


class Side:
    """The positions of one side of one instrument in one run of one world."""

    _COLUMNS: Final = ("lower", "upper", "deadline", "peak", "trail_by", "best", "dirty")

    def __init__(self, *, sign: int) -> None:
        """Make an empty one.

        :param sign: 1 for longs, -1 for shorts
        """
        self.sign = sign
        self.rows: list[Watched] = []
        self.lower = np.full(FIRST_ROOM, -inf)
        self.upper = np.full(FIRST_ROOM, inf)
        self.deadline = np.full(FIRST_ROOM, NEVER_US, dtype=np.int64)
        self.peak = np.full(FIRST_ROOM, inf)
        self.trail_by = np.zeros(FIRST_ROOM)  # 0 where the stop does not trail
        self.best = np.full(FIRST_ROOM, OWN, dtype=np.int32)  # which of ``_prices`` is the best so far
        self.dirty = np.zeros(FIRST_ROOM, dtype=bool)  # moved further than the database knows
        self._prices: list[Decimal] = []
        self._gate_us = 0
        self._gate_place = 0
        self._bounds_known = False
        self._seen: Decimal | None = None  # the last price, where looking at it again would change nothing
        self.first_below = -inf
        self.first_above = inf
        self.lowest_peak = inf
        self.next_deadline: int = NEVER_US

    def add(self, row: Watched) -> int:
        """Take a position in; return its place."""
        index = len(self.rows)
        if index == len(self.lower):
            for name in self._COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, column]))
        self.rows.append(row)
        self._write(index)
        self.dirty[index] = False
        self._gate_us = max(self._gate_us, row.levels_us)
        self._gate_place = max(self._gate_place, place_number(row.place))
        return index

    def remove(self, index: int) -> Watched | None:
        """Let a position go; return the one that took its place."""
        last = len(self.rows) - 1
        moved = self.rows.pop()
        self._bounds_known = False
        if index == last:
            return None
        for name in self._COLUMNS:
            column = getattr(self, name)
            column[index] = column[last]
        self.rows[index] = moved
        return moved

    def state(self, index: int) -> ExitState:
        """Return exactly what the rules know of a position now."""
        state = self.rows[index].state
        if self.best[index] == OWN:
            return state
        peak = self._prices[self.best[index]]
        trail = state.trail_price
        if trail is not None and state.plan.trail_by is not None:
            trail = tighter(trail, at_gain(peak, -state.plan.trail_by, sign=self.sign), sign=self.sign)
        return replace(state, peak_price=peak, trail_price=trail)

    def state_set(self, index: int, state: ExitState, *, dirty: bool) -> None:
        """Write down what the rules know of a position."""
        self.rows[index].state = state
        self._write(index)
        self.dirty[index] = dirty

    def look(self, *, tick: Tick, price: float, place: str) -> list[tuple[int, Hit]]:
        """Hold one price against all positions; return what it closes, by their places.

        :param price: the tick's price as a float, times the sign
        """
        if not self._bounds_known:
            self._bounds_find()
        if (
            self.first_below < price < self.first_above
            and price < self.lowest_peak
            and tick.quoted_us < self.next_deadline
        ):
            return []
        if tick.price == self._seen and tick.quoted_us < self.next_deadline:
            return []
        count = len(self.rows)
        reached = self.lower[:count] >= price
        reached |= self.upper[:count] <= price
        reached |= self.deadline[:count] <= tick.quoted_us
        hits: list[tuple[int, Hit]] = []
        if reached.any():
            for found in np.flatnonzero(reached):
                index = int(found)
                before = self.state(index)
                after, hit = price_look(row=self.rows[index], state=before, tick=tick, place=place)
                if after is not before:
                    self.state_set(index, after, dirty=True)
                if hit is not None:
                    hits.append((index, hit))
        if price >= self.lowest_peak:
            self._peaks_move(tick=tick, price=price)
        gated = tick.received_us <= self._gate_us or place_number(place) <= self._gate_place
        self._seen = None if gated else tick.price
        return hits

    def dirty_rows(self) -> Iterator[int]:
        """Yield the places of the positions that moved further than the database knows."""
        for index in np.flatnonzero(self.dirty[: len(self.rows)]):
            yield int(index)

    def _peaks_move(self, *, tick: Tick, price: float) -> None:
        """Move the best price of every position that has not seen a better one, and its trailing stop."""
        count = len(self.rows)
        peak = self.peak[:count]
        moved = peak < price
        tied = np.flatnonzero(peak == price)  # two prices may share one float
        if len(tied):
            moved[tied] = self._better(tied, tick.price)
        if tick.received_us <= self._gate_us:
            moved &= np.fromiter((row.since_us < tick.received_us for row in self.rows), bool, count)
        if not moved.any():
            return
        peak[moved] = price
        self.best[:count][moved] = self._price_keep(tick.price)
        self.dirty[:count][moved] = True
        trailing = moved & (self.trail_by[:count] > 0)
        if trailing.any():
            trail = price - abs(price) * self.trail_by[:count][trailing]
            trail += np.abs(trail) * RELATIVE + ABSOLUTE
            self.lower[:count][trailing] = np.maximum(self.lower[:count][trailing], trail)
        self._bounds_known = False

    def _better(self, indices: np.ndarray, price: Decimal) -> np.ndarray:
        """Tell of which of these positions a price is better than the best so far, in Decimal."""
        best = self.best[indices]
        known = {int(number): self._prices[number] for number in np.unique(best[best != OWN])}
        peaks = (
            self.rows[index].state.peak_price if number == OWN else known[int(number)]
            for index, number in zip(indices, best, strict=True)
        )
        return np.fromiter(((price - peak) * self.sign > 0 for peak in peaks), bool, len(indices))

    def _price_keep(self, price: Decimal) -> int:
        """Remember a best price; those that nobody has any more are forgotten now and then."""
        if len(self._prices) > 2 * len(self.rows) + 64:
            best = self.best[: len(self.rows)]
            used = np.unique(best[best != OWN])
            self._prices = [self._prices[int(number)] for number in used]
            best[best != OWN] = np.searchsorted(used, best[best != OWN])
        self._prices.append(price)
        return len(self._prices) - 1

    def _write(self, index: int) -> None:
        """Write a position's state into the arrays."""
        state = self.rows[index].state
        stop, events = state.protective_price, (state.activation_price, state.target_price)
        above = [float(level) * self.sign for level in events if level is not None]
        trails = state.trail_price is not None and state.plan.trail_by is not None
        time_stop_at = state.time_stop_at
        self.lower[index] = -inf if stop is None else closer(float(stop) * self.sign, up=False)
        self.upper[index] = closer(min(above), up=True) if above else inf
        self.deadline[index] = NEVER_US if time_stop_at is None else us_of(time_stop_at)
        self.peak[index] = float(state.peak_price) * self.sign
        self.trail_by[index] = float(state.plan.trail_by or 0) if trails else 0.0
        self.best[index] = OWN
        self._bounds_known = False
        self._seen = None

    def _bounds_find(self) -> None:
        count = len(self.rows)
        self.first_below = float(self.lower[:count].max(initial=-inf))
        self.first_above = float(self.upper[:count].min(initial=inf))
        self.lowest_peak = float(self.peak[:count].min(initial=inf))
        self.next_deadline = int(self.deadline[:count].min(initial=NEVER_US))
        self._bounds_known = True


class Book:
    """Every watched position of one shard, by what it holds."""

    def __init__(self) -> None:
        self._sides: dict[TickKey, dict[int, Side]] = {}
        self._where: dict[int, tuple[Side, int]] = {}
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, position_id: int) -> bool:
        return position_id in self._where

    def row(self, position_id: int) -> Watched | None:
        """Return a position as it stands now; None where it is not watched."""
        if position_id not in self._where:
            return None
        side, index = self._where[position_id]
        row = side.rows[index]
        return replace(row, state=side.state(index))

    def version(self, position_id: int) -> int | None:
        """Return the version of the guard by which a position is watched; None where it is not."""
        if position_id not in self._where:
            return None
        side, index = self._where[position_id]
        return side.rows[index].version

    def versions(self) -> dict[int, int]:
        """Return the version of the guard of every position that is watched here."""
        return {pk: side.rows[index].version for pk, (side, index) in self._where.items()}

    def put(self, row: Watched, *, dirty: bool) -> None:
        """Watch a position, or go on with it as ``row`` says.

        :param dirty: the database does not know all of it yet
        """
        self.drop(row.position_id)
        sides = self._sides.setdefault(row.key, {})
        side = sides.get(row.state.sign)
        if side is None:
            side = sides[row.state.sign] = Side(sign=row.state.sign)
        index = side.add(row)
        side.dirty[index] = dirty
        self._where[row.position_id] = (side, index)
        self.tally = self.tally.moved(row, by=1)

    def drop(self, position_id: int) -> None:
        """Watch a position no more."""
        if position_id not in self._where:
            return
        side, index = self._where.pop(position_id)
        self.tally = self.tally.moved(side.rows[index], by=-1)
        moved = side.remove(index)
        if moved is not None:
            self._where[moved.position_id] = (side, index)

    def look(self, *, tick: Tick, place: str) -> list[Hit]:
        """Hold one price against every position it concerns; return what it closes, and watch that no more.

        A price that is not above zero is no price.
        """
        sides = self._sides.get(tick.key)
        if sides is None:
            return []
        price = float(tick.price)
        if not 0.0 < price < inf:
            return []
        hits: list[Hit] = []
        for side in sides.values():
            found = side.look(tick=tick, price=price * side.sign, place=place)
            hits += [hit for _, hit in found]
        for hit in hits:
            if hit.ends:
                self.drop(hit.row.position_id)
        return hits

    def dirty(self) -> list[int]:
        """Return the ids of positions that moved further than the database knows, in order."""
        moved = (side.rows[index].position_id for side in self._all() for index in side.dirty_rows())
        return sorted(moved)

    def saved(self, *, row: Watched, place: str) -> None:
        """Take down that the database knows a position as ``row`` has it, up to ``place``."""
        side, index = self._where[row.position_id]
        side.rows[index].place = place
        side.state_set(index, row.state, dirty=False)

    def _all(self) -> Iterable[Side]:
        return (side for sides in self._sides.values() for side in sides.values())
