"""The loop of the exit watch: read the tape of its shards, hold every price against every level, store.

One thread does all of it, so that what it knows and what it stored go together. It acts only on shards whose
lease it holds, and everything it stores is fenced by that. Whatever goes wrong, it gives its shards up,
forgets everything, and begins anew from what is stored: a start, a take-over and an error are one path.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

import redis
from django.db import DatabaseError, InterfaceError, connection, transaction

from core.clock import Clock
from engine.exits import leases
from engine.exits.checkpoint import Level, levels_write, places_write
from engine.exits.guards import guards_get, guards_tally, versions_of, versions_since
from engine.exits.leases import RENEW_S, LeaseLost
from engine.exits.placing import triggers_place
from engine.exits.protection import gap_note, gap_write
from engine.exits.shard import ShardWatch
from engine.exits.stats import WatchStats
from engine.exits.triggers import Stored, hits_store
from engine.exits.watched import Hit, Watched
from engine.models import ExitTrigger
from engine.sending import exits_place_later, exits_submit_later
from markets.tape import TapeEntry, TapeReader, shard_of

logger = logging.getLogger(__name__)
BLOCK_MS: Final = 50
READ_AT_ONCE: Final = 64
STATEMENT_TIMEOUT_MS: Final = 5000
LATE_S: Final = 1.0  # a watch that looks less often than this is noted as a gap
PAUSE_S: Final = 0.2  # after an error
HEAR_EVERY_S: Final = 0.2
HEAR_BACK: Final = timedelta(seconds=60)  # how long a transaction that changes a guard may take
COMPARE_EVERY_S: Final = 60.0  # each shard's guards with the database's, whatever was heard
SAVE_EVERY_S: Final = 0.25
SAVED_AT_ONCE: Final = 200
STORED_AT_ONCE: Final = 200
TAPE_CHECK_S: Final = 1.0
BUSY_TRIES_S: Final = 2.0  # a portfolio that is booking is tried again this long, then the sweep goes on


class Stop(Protocol):
    """What ends the watch; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until stopped, at most ``timeout`` seconds; return whether stopped."""
        ...


@dataclass(slots=True)
class _Saving:
    """One round of writing down: these positions, and then these places."""

    left: list[int]
    places: dict[int, str]


class ExitWatch:
    """Watches its share of the instruments until told to stop."""

    def __init__(self, *, name: str, client: redis.Redis, clock: Clock, shards: int) -> None:
        """Watch under a name no other watcher has.

        :param client: of the Redis that holds the tape, for this watch alone
        :param shards: into how many parts the instruments are divided
        """
        self.name = name
        self.stats = WatchStats(client=client, clock=clock)
        self._client = client
        self._clock = clock
        self._shards = shards
        self._held: dict[int, ShardWatch] = {}
        self._begin()

    @property
    def shards(self) -> dict[int, ShardWatch]:
        """What it watches now, by number."""
        return self._held

    def run(self, stop: Stop) -> None:
        """Watch until ``stop`` is set; after any error begin anew."""
        while not stop.is_set():
            try:
                self._connect()
                while not stop.is_set():
                    if not self.turn():
                        stop.wait(BLOCK_MS / 1000)
            except LeaseLost as lost:
                logger.warning("%s; it begins anew", lost)
            except Exception:
                logger.exception("the exit watch failed; it begins anew")
            finally:
                self.let_go()
            stop.wait(PAUSE_S)
        connection.close()

    def _connect(self) -> None:
        """Prepare a connection on which nothing may hang for long: without an answer no lease is renewed."""
        leases.shards_ensure()
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", [STATEMENT_TIMEOUT_MS])

    def turn(self, *, block_ms: int = BLOCK_MS) -> bool:
        """Do everything that is due once; return whether there is anything to watch.

        :raises LeaseLost: another watcher took over what this one held
        """
        self._leases_keep()
        self._changes_hear()
        self._busy_place()
        entries = self._reader.read(block_ms=5 if self._busy else block_ms, count=READ_AT_ONCE)
        self._entries_look(entries)
        self._save()
        self.stats.publish_when_due(shards=sorted(self._held), positions=self.positions)
        return bool(self._held)

    @property
    def positions(self) -> int:
        """How many positions it watches."""
        return sum(len(shard.book) for shard in self._held.values())

    @property
    def writing(self) -> bool:
        """Whether some of what moved is still to be written down."""
        return self._saving is not None

    def let_go(self) -> None:
        """Give up every shard and forget everything; what is stored stays, and another goes on from it."""
        epochs = self._epochs()
        self._begin()
        try:
            leases.shards_release(name=self.name, epochs=epochs)
            leases.watcher_forget(name=self.name)
        except Exception as error:  # noqa: BLE001 - the leases run out by themselves
            logger.warning("shards %s are not given up (%s); their leases run out", sorted(epochs), error)
        connection.close()

    def _begin(self) -> None:
        self._held = {}
        self._reader = TapeReader(client=self._client)
        self._renewed_s = float("-inf")
        self._heard_s = float("-inf")
        self._saved_s = float("-inf")
        self._checked_s = self._clock.monotonic_s()
        self._compared_s: dict[int, float] = {}
        self._read_since_check: set[int] = set()
        self._saving: _Saving | None = None
        self._busy: dict[int, float] = {}  # triggers whose portfolio was booking, and since when

    def _epochs(self, shards: Iterable[int] | None = None) -> dict[int, int]:
        numbers = self._held if shards is None else shards
        return {number: self._held[number].lease.epoch for number in numbers}

    # ---------------------------------------------------------------- leases
    def _leases_keep(self) -> None:
        """Renew what is held, give up what is too much, take one shard more where there are too few."""
        now_s = self._clock.monotonic_s()
        if now_s - self._renewed_s < RENEW_S:
            return
        self._renew()
        fair = leases.shards_fair(name=self.name)
        if len(self._held) > fair:
            self._give_up(sorted(self._held)[fair:])
        while len(self._held) < fair and self._take():
            self._renew()

    def _renew(self) -> None:
        """Renew what is held, and keep how long it was not looked at where that was too long.

        :raises LeaseLost: another has taken one of the shards
        """
        kept = leases.leases_renew(name=self.name, epochs=self._epochs())
        before_s, self._renewed_s = self._renewed_s, self._clock.monotonic_s()
        if lost := set(self._held) - kept:
            raise LeaseLost(f"{self.name} lost the shards {sorted(lost)}")
        if self._held and self._renewed_s - before_s > LATE_S:
            gap_note(shards=self._held, seconds=self._renewed_s - before_s)

    def _renew_when_due(self) -> None:
        """Renew in the middle of long work, so that no lease runs out over it."""
        if self._clock.monotonic_s() - self._renewed_s > RENEW_S:
            self._renew()

    def _give_up(self, shards: Iterable[int]) -> None:
        self._save_all()
        for number in shards:
            leases.shards_release(name=self.name, epochs=self._epochs([number]))
            self._reader.leave(shard=number)
            del self._held[number]
        self._saving = None

    def _take(self) -> bool:
        """Take one shard and go on where its last holder stopped; return whether there was one."""
        self._client.ping()  # without the tape there is nothing to watch by
        lease = leases.shard_take(name=self.name)
        if lease is None:
            return False
        shard = ShardWatch(lease=lease, client=self._client, shards=self._shards)
        self._held[lease.shard] = shard
        hits = shard.load(keep=self._renew_when_due)
        self._reader.follow(shard=lease.shard, after=shard.place)
        self._compared_s[lease.shard] = self._clock.monotonic_s()
        self._hits_store(hits)
        gc.freeze()  # what is watched is no garbage: a collection that looks through it all holds up an exit
        logger.info("watching shard %s: %s positions, from %s", lease.shard, len(shard.book), shard.place)
        return True

    # ---------------------------------------------------------------- changes
    def _changes_hear(self) -> None:
        """Look for guards that are new or changed; compare a shard with the database once a minute."""
        now_s = self._clock.monotonic_s()
        if now_s - self._heard_s < HEAR_EVERY_S:
            return
        self._heard_s = now_s
        changed: list[int] = []
        for position_id, version, code, ended in versions_since(changed_at=self._clock.now() - HEAR_BACK):
            shard = self._held.get(shard_of(code=code, shards=self._shards))
            if shard is not None and shard.knows_other(position_id, None if ended else version):
                changed.append(position_id)
        for number, shard in self._held.items():
            if now_s - self._compared_s[number] >= COMPARE_EVERY_S:
                self._compared_s[number] = now_s
                if shard.book.tally != guards_tally(codes=shard.codes):
                    changed += shard.differing(versions_of(codes=shard.codes))
                break  # one shard at a time, so that prices never wait long
        self._hear(changed)

    def _hear(self, position_ids: Iterable[int]) -> None:
        """Read guards anew and hold them against what has happened since they changed."""
        wanted = set(position_ids)
        if not wanted:
            return
        by_shard: dict[int, list[Watched]] = {}
        for row in guards_get(position_ids=wanted):
            self._renew_when_due()
            by_shard.setdefault(shard_of(code=row.key[2], shards=self._shards), []).append(row)
        found = {row.position_id for rows in by_shard.values() for row in rows}
        hits: list[Hit] = []
        for number, shard in self._held.items():
            hits += shard.hear(rows=by_shard.get(number, ()), gone=wanted - found, keep=self._renew_when_due)
        self._hits_store(hits)

    # ---------------------------------------------------------------- prices
    def _entries_look(self, entries: Iterable[TapeEntry]) -> None:
        """Hold what was read against the books, and store what it closes."""
        read: dict[int, int] = {}
        hits: list[Hit] = []
        for entry in entries:
            shard = self._held.get(entry.shard)
            if shard is None:
                continue
            hits += shard.look(entry)
            self.stats.ticks += len(entry.ticks)
            read[entry.shard] = read.get(entry.shard, 0) + 1
            if self._clock.monotonic_s() - self._renewed_s > RENEW_S:
                self._hits_store(hits)
                hits = []
                self._renew()
        self._hits_store(hits)
        self._read_since_check |= read.keys()
        self._catching_up_end(full={number for number, count in read.items() if count >= READ_AT_ONCE})
        self._tape_check()

    def _catching_up_end(self, *, full: set[int]) -> None:
        """Note of each shard that has reached the end of its tape how long nobody had watched it."""
        for number, shard in self._held.items():
            if not shard.caught_up and number not in full:
                shard.caught_up = True
                gap_write(lease=shard.lease)

    def _tape_check(self) -> None:
        """Begin anew where a tape that told nothing for a while was lost and begun anew.

        :raises LeaseLost: so that everything is read again
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._checked_s < TAPE_CHECK_S:
            return
        self._checked_s = now_s
        quiet, self._read_since_check = set(self._held) - self._read_since_check, set()
        if shorter := [number for number in quiet if self._held[number].tape_shorter()]:
            raise LeaseLost(f"the tape of shards {shorter} was lost and begun anew")

    # ---------------------------------------------------------------- storing
    def _hits_store(self, hits: list[Hit]) -> None:
        """Store what was hit, behind the fence; have the orders sent, and look anew at what changed."""
        for begin in range(0, len(hits), STORED_AT_ONCE):
            self._renew_when_due()
            part = hits[begin : begin + STORED_AT_ONCE]
            shards = {shard_of(code=hit.row.key[2], shards=self._shards) for hit in part}
            epochs = self._epochs(shards)
            stored = self._part_store(part, partial(leases.fence, name=self.name, epochs=epochs))
            self.stats.stored(hits=part, now=self._clock.now())
            self._pass_on(stored)
            self._hear(stored.again)

    def _part_store(self, part: list[Hit], fence: Callable[[], None]) -> Stored:
        """Store triggers and orders; where one order makes no sense, the triggers alone.

        The workers then place the orders one by one, and what is wrong with one of them stops no other.
        """
        found_by, now = ExitTrigger.FoundBy.WATCH, self._clock.now()
        try:
            return hits_store(hits=part, found_by=found_by, now=now, fence=fence)
        except (LeaseLost, DatabaseError, InterfaceError):
            raise
        except Exception:
            logger.exception("orders of %s triggers are left to the workers", len(part))
            stored = hits_store(hits=part, found_by=found_by, now=now, fence=fence, place=False)
            stored.parts = sorted({*stored.parts, *stored.new})
            return stored

    def _pass_on(self, stored: Stored) -> None:
        """Hand to the workers what the watch itself does not wait for."""
        exits_submit_later(stored.placed.order_ids)
        now_s = self._clock.monotonic_s()
        self._busy |= dict.fromkeys(stored.placed.locked, now_s)
        waiting = set(stored.new) - set(stored.parts) - set(stored.placed.locked)
        later = [*stored.parts, *(waiting if stored.placed.call_back else ())]
        exits_place_later(sorted(set(later)))

    def _busy_place(self) -> None:
        """Try again to place the orders of triggers whose portfolio was booking."""
        if not self._busy:
            return
        placed = triggers_place(trigger_ids=list(self._busy), now=self._clock.now())
        exits_submit_later(placed.order_ids)
        now_s = self._clock.monotonic_s()
        self._busy = {
            pk: since_s
            for pk, since_s in self._busy.items()
            if pk in placed.locked and now_s - since_s < BUSY_TRIES_S
        }

    def _save(self) -> None:
        """Write some of what moved; the places on the tape follow once all of it is written."""
        now_s = self._clock.monotonic_s()
        if self._saving is None:
            if now_s - self._saved_s < SAVE_EVERY_S:
                return
            self._saved_s = now_s
            self._saving = self._saving_make()
        if self._saving is not None and not self._save_some(self._saving):
            self._saving = None

    def _saving_make(self) -> _Saving | None:
        """Begin a round of writing down; None where nothing has moved."""
        moved = [pk for shard in self._held.values() for pk in shard.book.dirty()]
        behind = {n: shard.place for n, shard in self._held.items() if shard.place != shard.saved_place}
        return _Saving(left=sorted(moved), places=behind) if moved or behind else None

    def _save_all(self) -> None:
        """Write everything that moved."""
        saving = self._saving_make()
        while saving is not None and self._save_some(saving):
            pass
        self._saving = None

    def _save_some(self, saving: _Saving) -> bool:
        """Write the next part of a round; return whether there is more to write.

        A guard that changed meanwhile ends the round: it is heard of first, and the places wait.
        """
        part, saving.left = saving.left[:SAVED_AT_ONCE], saving.left[SAVED_AT_ONCE:]
        levels: list[tuple[ShardWatch, Level]] = []
        for shard in self._held.values():
            rows = (shard.book.row(pk) for pk in part)
            levels += [(shard, Level(row, shard.place)) for row in rows if row is not None]
        levels.sort(key=lambda pair: pair[1].row.position_id)
        with transaction.atomic():
            leases.commit_unhurried()
            leases.fence(name=self.name, epochs=self._epochs())
            written = levels_write([level for _, level in levels])
            done = not saving.left and len(written) == len(levels)
            if done:
                places_write(saving.places)
        for shard, level in levels:
            if level.row.position_id in written:
                shard.book.saved(row=level.row, place=level.place)
        if done:
            for number, place in saving.places.items():
                self._held[number].saved_place = place
        return not done and len(written) == len(levels)
