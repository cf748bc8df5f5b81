"""Every crossing a plain check finds in recorded prices is found by the watch, whoever is killed (EXT-3).

The prices go through the real tape, the watch runs in processes of its own on the real database, and some of
them are ended by SIGKILL while they are at it. Of each position kind, price, level, part and tick must agree.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import redis
from django.conf import settings

from core.clock import utc_now
from engine.models import ExitShard, ExitTrigger
from execution.models import Order
from markets.recordings import ALPHA_ARENA, COINBASE_2018, HYPERLIQUID_WALLETS, recording_names
from markets.tape import START, TapeWriter, TickKey, place_of, tape_end, tape_since
from portfolio_site.processes import Child
from positions.models import ExitGuard
from tests.exits.play import (
    Play,
    Told,
    expected,
    openings_choose,
    play_make,
    positions_make,
    told_actual,
    told_expected,
)
from tests.running import TestProcesses, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
KEPT_S = 86_400  # nothing is let go of while the test looks


@dataclass(frozen=True)
class Part:
    """How much of a recording is played: world time of one flush, every how many-th position."""

    step: timedelta
    every: int


@dataclass(frozen=True)
class Size:
    """How much is played, at least how long, and how many watches are killed meanwhile."""

    parts: Mapping[str, Part]
    seconds: float
    kills: int


SMALL = Size(
    {
        ALPHA_ARENA: Part(timedelta(hours=2), 16),
        HYPERLIQUID_WALLETS: Part(timedelta(minutes=30), 24),
        COINBASE_2018: Part(timedelta(minutes=20), 40),
    },
    seconds=10,
    kills=5,
)
FULL = Size(
    {
        ALPHA_ARENA: Part(timedelta(minutes=10), 1),
        HYPERLIQUID_WALLETS: Part(timedelta(minutes=10), 1),
        COINBASE_2018: Part(timedelta(minutes=10), 1),
    },
    seconds=150,
    kills=40,
)


@dataclass
class Watchers:
    """Two processes that share the shards; one that is killed is followed by a new one."""

    processes: TestProcesses
    chance: random.Random
    living: list[Child] = field(default_factory=list)
    killed: int = 0

    def start(self, count: int) -> None:
        for _ in range(count):
            name = f"watcher-{self.killed + len(self.living)}"
            self.living.append(self.processes.start(name=name, argv=["-m", "tests.exits.watcher", name]))

    def ready(self) -> None:
        """Wait until every shard is watched."""

        def all_held() -> bool:
            dead = [child for child in self.living if child.exit_code() is not None]
            assert not dead, dead[0].log_text()
            return ExitShard.objects.exclude(holder="").count() == settings.EXIT_SHARDS

        wait_until(all_held, timeout_s=60, what="a watch on every shard")

    def kill(self) -> None:
        """End one of them, whatever it is doing, and let a new one begin."""
        child = self.living.pop(self.chance.randrange(len(self.living)))
        self.killed += 1
        child.process.kill()
        child.process.wait(timeout=10)
        self.start(1)


@dataclass
class Ratchet:
    """Looks at stored stops again and again: none may ever loosen."""

    seen: dict[int, tuple[D | None, D | None]] = field(default_factory=dict)
    looks: int = 0
    loosened: int = 0

    def look(self) -> None:
        self.looks += 1
        for pk, sign, stop, trail in ExitGuard.objects.values_list("pk", "sign", "stop_price", "trail_price"):
            before = self.seen.get(pk, (None, None))
            for old, new in zip(before, (stop, trail), strict=True):
                self.loosened += old is not None and (new is None or (new - old) * sign < 0)
            self.seen[pk] = (stop, trail)


def play_through(
    *,
    plays: Sequence[Play],
    size: Size,
    watchers: Watchers,
    client: redis.Redis,
    owner: Any,
    chance: random.Random,
) -> Ratchet:
    """Write the recordings to the tape side by side, open what is heard of late, and kill in between."""
    for play in plays:
        at_once = [number for number, one in enumerate(play.openings) if one.heard == one.flush]
        positions_make(play=play, numbers=at_once, owner=owner, now=utc_now())
    watchers.start(2)
    watchers.ready()
    writer = TapeWriter(client=client, shards=settings.EXIT_SHARDS, kept_s=KEPT_S)
    line = sorted(
        (
            (flush.number / len(play.flushes), place, flush)
            for place, play in enumerate(plays)
            for flush in play.flushes
        ),
        key=lambda row: row[:2],
    )
    late = [play.late for play in plays]
    kills = set(chance.sample(range(1, len(line) - 1), size.kills))
    ratchet = Ratchet()
    began_s = time.monotonic()
    for number, (share, place, flush) in enumerate(line):
        writer.append(flush.ticks, now=flush.received_at)
        if numbers := late[place].get(flush.number):
            positions_make(play=plays[place], numbers=numbers, owner=owner, now=utc_now())
        if number in kills:
            time.sleep(chance.uniform(0, 0.05))
            watchers.kill()
            ratchet.look()
        time.sleep(max(0.0, share * size.seconds - (time.monotonic() - began_s)))
    return ratchet


def tape_read(*, client: redis.Redis) -> list[tuple[TickKey, int, D]]:
    """Return all prices on the tape as (whose, world time in microseconds, price), by these."""
    entries = [
        entry
        for shard in range(settings.EXIT_SHARDS)
        for entry in tape_since(client=client, shard=shard, after=START)
    ]
    return sorted((tick.key, tick.quoted_us, tick.price) for entry in entries for tick in entry.ticks)


def all_stored(*, client: redis.Redis) -> bool:
    """Tell whether every shard is dealt with to the end of its tape."""
    places = dict(ExitShard.objects.values_list("number", "place"))
    return all(
        place_of(places.get(shard, START)) >= place_of(tape_end(client=client, shard=shard))
        for shard in range(settings.EXIT_SHARDS)
    )


def figures(*, play: Play) -> Counter[str]:
    """Compare what was stored with the plain check, position by position; every difference is kept."""
    tapes = {code: play.tape(code) for code in {one.code for one in play.openings}}
    stored = dict(told_actual(position_ids=play.position_ids))
    levels = {
        row[0]: row[1:]
        for row in ExitGuard.objects.values_list(
            "pk", "peak_price", "stop_price", "trail_price", "steps_done"
        )
    }
    count: Counter[str] = Counter(
        positions=len(play.openings), ticks=sum(len(tape) for tape in tapes.values())
    )
    for opening, position_id in zip(play.openings, play.position_ids, strict=True):
        found = expected(play=play, opening=opening, tape=tapes[opening.code])
        wanted, got = told_expected(found), stored[position_id]
        count.update(f"found {row[0]}" for row in wanted)
        count["crossings"] += len(found.seen)
        count[_verdict(wanted, got)] += 1
        if not found.over:
            exact = (found.peak, found.stop, found.trail, found.steps_done)
            count["levels different"] += levels[position_id] != exact
        if got != wanted and count["told"] < 5:
            count["told"] += 1
            tell(f"position {position_id} {opening}: wanted {wanted}, got {got}")
    return count


def _verdict(wanted: Sequence[Told], got: Sequence[Told]) -> str:
    """Say in a word how what was stored differs from what should be there."""
    for right, stored in zip(wanted, got, strict=False):
        if stored != right:
            return "early" if stored[4] < right[4] else "late" if stored[4] > right[4] else "different"
    return "missed" if len(wanted) > len(got) else "doubled" if len(got) > len(wanted) else "right"


def tell(text: str) -> None:
    """Show a line with `pytest -s`."""
    sys.stdout.write(f"{text}\n")


@pytest.fixture
def replay(
    processes: TestProcesses, redis_client: redis.Redis, alice: Any
) -> Callable[[Size, int], Counter[str]]:
    """Play recordings, and return what came of it."""

    def run(size: Size, seed: int) -> Counter[str]:
        chance = random.Random(seed)
        plays = []
        for name, part in size.parts.items():
            play = play_make(name=name, step=part.step, now=utc_now())
            openings_choose(play=play, every=part.every, late=9, seed=seed)
            plays.append(play)
        watchers = Watchers(processes=processes, chance=chance)
        ratchet = play_through(
            plays=plays, size=size, watchers=watchers, client=redis_client, owner=alice, chance=chance
        )
        record = sorted(
            (tick.key, tick.quoted_us, tick.price)
            for play in plays
            for flush in play.flushes
            for tick in flush.ticks
        )
        assert tape_read(client=redis_client) == record
        wait_until(lambda: all_stored(client=redis_client), timeout_s=240, what="the tape's end stored")
        ratchet.look()
        count: Counter[str] = Counter(kills=watchers.killed, loosened=ratchet.loosened)
        for play in plays:
            found = figures(play=play)
            tell(json.dumps({"recording": play.world.name, **found}))
            count.update(found)
        return count

    return run


def nothing_lost(count: Counter[str]) -> None:
    """0 missed, 0 early, 0 doubled, 0 loosened; one order for each trigger that closes all of a position."""
    tell(json.dumps(count))
    assert count["right"] == count["positions"], count
    assert (count["levels different"], count["loosened"]) == (0, 0), count
    assert ExitTrigger.objects.exclude(found_by="watch").count() == 0
    for position_id, underlying in ExitTrigger.objects.filter(kind__in=("stop_loss", "trailing")).values_list(
        "position_id", "position__underlying"
    ):
        orders = Order.objects.filter(portfolio__positions=position_id, underlying=underlying)
        assert orders.count() <= 1 + ExitTrigger.objects.filter(position_id=position_id).count()


def test_a_part_of_every_recording(replay: Callable[[Size, int], Counter[str]]) -> None:
    """EXT-3: some hundred positions in three worlds side by side, which share instruments; five kills."""
    count = replay(SMALL, 4)
    nothing_lost(count)
    assert count["kills"] == SMALL.kills
    assert all(count[f"found {kind}"] > 20 for kind in ("stop_loss", "trailing", "take_profit", "time_stop"))


@pytest.mark.exhaustive
def test_every_recording_in_full(
    replay: Callable[[Size, int], Counter[str]], request: pytest.FixtureRequest
) -> None:
    """EXT-3: positions at every recorded moment, forty kills: `pytest -s -m exhaustive tests/exits`."""
    if "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("tens of thousands of positions take minutes: pytest -m exhaustive")
    count = replay(FULL, 5)
    nothing_lost(count)
    assert count["kills"] == FULL.kills


def test_every_recording_is_played() -> None:
    """EXT-3: a recording that is added is proven as well."""
    assert set(SMALL.parts) == set(FULL.parts) == set(recording_names())
