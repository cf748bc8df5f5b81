"""One shard as its holder watches it: the book of its positions, and what it lately read of its tape.

A guard that is heard of late, because it is new or was changed, is held against every price that arrived
since, from memory where it reaches back so far and from the tape where it does not. Taking a shard over is
the same for all of its guards at once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import redis

from engine.exits.book import Book
from engine.exits.guards import guards_of, shard_codes
from engine.exits.leases import Lease
from engine.exits.watched import Hit, Watched, place_number, price_look, prices_look
from markets.domain.moments import at_of, us_of
from markets.models import Mark
from markets.tape import (
    START,
    TapeEntry,
    Tick,
    TickKey,
    place_at,
    tape_end,
    tape_newest,
    tape_since,
    tape_start,
)
from positions.domain.exits import tighter

logger = logging.getLogger(__name__)
REMEMBERED_MS: Final = 30_000
LATE: Final = timedelta(seconds=5)  # how much later than it was received a price may stand on the tape
MARK_PLACE: Final = "0-1"  # of a mark, which stands before everything that is on the tape


class ShardWatch:
    """A shard under watch."""

    def __init__(self, *, lease: Lease, client: redis.Redis, shards: int) -> None:
        """Take over where the last holder left off; ``load`` comes next."""
        self.lease = lease
        self.place = lease.place  # everything up to here is evaluated
        self.saved_place = lease.place  # everything up to here is stored
        self.caught_up = False
        self.book = Book()
        self.codes: list[str] = []
        self._client = client
        self._shards = shards
        self._entries: deque[tuple[int, TapeEntry]] = deque()
        self._remembers_from = 0

    def load(self, *, keep: Callable[[], None]) -> list[Hit]:
        """Read the guards, and hold them against what only they have missed; return what that closes.

        :param keep: called again and again meanwhile: ten thousand guards take longer than a lease lasts
        """
        self.codes = shard_codes(shard=self.lease.shard, shards=self._shards)
        rows: list[Watched] = []
        for row in guards_of(codes=self.codes):
            keep()
            rows.append(row)
        hits = self._lost_make_good(rows, keep) if self._tape_lost() else self._late_look(rows, keep)
        self._remembers_from = place_number(self.place)
        ended = {hit.row.position_id for hit in hits if hit.ends}
        for row in rows:
            keep()
            if row.position_id not in ended:
                self.book.put(row, dirty=not row.place)
        return hits

    def look(self, entry: TapeEntry) -> list[Hit]:
        """Hold the prices of one entry against the book, in order; return what they close."""
        hits: list[Hit] = []
        for tick in entry.ticks:
            hits += self.book.look(tick=tick, place=entry.entry_id)
        self.place = entry.entry_id
        number = place_number(entry.entry_id)
        self._entries.append((number, entry))
        oldest = number - (REMEMBERED_MS << 20)
        while self._entries[0][0] < oldest:
            self._remembers_from = self._entries.popleft()[0]
        return hits

    def hear(self, *, rows: Iterable[Watched], gone: Collection[int], keep: Callable[[], None]) -> list[Hit]:
        """Go on with guards as the database has them now; return what prices since their change close.

        :param gone: positions of which there is nothing to watch any more
        :param keep: called again and again meanwhile, so that no lease runs out over it
        """
        for position_id in gone:
            self.book.drop(position_id)
        hits: list[Hit] = []
        for row in rows:
            keep()
            known = self.book.row(row.position_id)
            found = prices_look(row=row, ticks=self._ticks_since(row))
            hits += found
            if known is not None and known.episode == row.episode:
                _keep_tighter(row, known)
            self.book.drop(row.position_id)
            if not any(hit.ends for hit in found):
                self.book.put(row, dirty=True)
        return hits

    def knows_other(self, position_id: int, version: int | None) -> bool:
        """Tell whether a position is watched under another version than this; None is not at all."""
        return self.book.version(position_id) != version

    def differing(self, versions: Mapping[int, int]) -> list[int]:
        """Return the positions watched under another version than the database has, or not at all."""
        watched = self.book.versions()
        return [pk for pk in watched.keys() | versions.keys() if watched.get(pk) != versions.get(pk)]

    def tape_shorter(self) -> bool:
        """Tell whether the tape ends before what was read of it: it was lost and begun anew."""
        end = tape_end(client=self._client, shard=self.lease.shard)
        return place_number(end) < place_number(self.place)

    def _replay_from(self, row: Watched) -> str:
        """Return the place from which on a guard was not looked at by anybody who wrote it down."""
        if row.place:
            return max(row.place, self.saved_place, key=place_number)
        return min(self.saved_place, place_at(at_of(row.levels_us) - LATE), key=place_number)

    def _ticks_since(self, row: Watched) -> Iterator[tuple[str, Tick]]:
        """Yield the prices up to ``place`` that a guard has to be held against."""
        start = self._replay_from(row)
        number = place_number(start)
        if number >= self._remembers_from:
            entries: Iterable[TapeEntry] = (entry for at, entry in self._entries if at > number)
        elif place_number(self.place) > number:
            entries = tape_since(client=self._client, shard=self.lease.shard, after=start, until=self.place)
        else:
            entries = ()
        for entry in entries:
            for tick in entry.ticks:
                if tick.key == row.key:
                    yield entry.entry_id, tick

    def _late_look(self, rows: Collection[Watched], keep: Callable[[], None]) -> list[Hit]:
        """Hold the guards that nobody has heard of yet against the prices up to the shard's place."""
        late: dict[TickKey, list[tuple[int, Watched]]] = {}
        until = place_number(self.place)
        starts: list[str] = []
        for row in rows:
            start = self._replay_from(row)
            if place_number(start) < until:
                late.setdefault(row.key, []).append((place_number(start), row))
                starts.append(start)
        if not starts:
            return []
        first = min(starts, key=place_number)
        hits: list[Hit] = []
        ended: set[int] = set()
        for entry in tape_since(client=self._client, shard=self.lease.shard, after=first, until=self.place):
            number = place_number(entry.entry_id)
            for tick in entry.ticks:
                keep()
                for start_number, row in late.get(tick.key, ()):
                    if number <= start_number or row.position_id in ended:
                        continue
                    row.state, hit = price_look(row=row, state=row.state, tick=tick, place=entry.entry_id)
                    if hit is not None:
                        hits.append(hit)
                        if hit.ends:
                            ended.add(row.position_id)
        return hits

    def _tape_lost(self) -> bool:
        """Tell whether the tape does not reach back to where it was left."""
        if self.place == START:
            return False
        first = tape_start(client=self._client, shard=self.lease.shard)
        number = place_number(self.place)
        return place_number(first) > number or self.tape_shorter()

    def _lost_make_good(self, rows: Collection[Watched], keep: Callable[[], None]) -> list[Hit]:
        """Look at the newest marks, since prices are missing, and go on from what there is of the tape.

        No level loosens: peaks and stops stay as they were stored.
        """
        logger.error(
            "shard %s: the tape does not reach back to %s; its positions are held against the newest marks",
            self.lease.shard,
            self.place,
        )
        self._look_back_end(rows)
        keys = {row.key for row in rows}
        # What the tape still tells of is as new there as its mark, and read next.
        told = tape_newest(client=self._client, shards=self._shards, keys=keys)
        marks = {
            key: mark
            for mark in Mark.objects.filter(instrument_id__in={code for _, _, code in keys - told.keys()})
            if (key := (mark.world_id, mark.run, mark.instrument_id)) not in told
        }
        hits = self._late_look(rows, keep)
        for row in rows:
            mark = marks.get(row.key)
            if mark is not None:
                quoted_us, received_us = us_of(mark.quoted_at), us_of(mark.received_at)
                tick = Tick(*row.key, mark.price, quoted_us, received_us)
                looked = row.place, row.trail_place
                row.place = row.trail_place = ""
                hits += prices_look(row=row, ticks=[(MARK_PLACE, tick)])
                row.place, row.trail_place = looked
        return hits

    def _look_back_end(self, rows: Iterable[Watched]) -> None:
        """Go on from the end of a tape that ends before what was read of it, else from its beginning.

        What is left of a tape that ends too early was looked at before: held again against stops that later
        prices have raised, it would sell too early. On one that begins too late everything is new.
        """
        end = tape_end(client=self._client, shard=self.lease.shard)
        if place_number(end) >= place_number(self.place):
            self.place = self.saved_place = START
            return
        self.place = self.saved_place = end
        for row in rows:
            row.trail_place = "" if end == START else end
            row.place = row.trail_place if row.place else ""


def _keep_tighter(row: Watched, known: Watched) -> None:
    """Let a stop that was raised in memory stand, though the change in the database came before it did."""
    trail = known.state.trail_price
    if trail is None:
        return
    sign = row.state.sign
    best = (max if sign > 0 else min)(row.state.peak_price, known.state.peak_price)
    tight = tighter(row.state.trail_price, trail, sign=sign)
    row.state = replace(row.state, peak_price=best, trail_price=tight)
