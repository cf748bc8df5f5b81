"""A recording played through the real tape, with positions opened at many of its moments.

One flush of the tape covers a step of world time: what was recorded in it, and the price at its end. Each
position is opened at the end of a flush, at the price there, so the prices of later flushes are its own. The
arrival of a flush is made up, a millisecond after the one before, so that it does not depend on the machine.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Portfolio
from allocation.models import CapitalAccount
from core.decimals import to_money
from engine.models import ExitTrigger
from execution.desks import account_name
from execution.models import PaperHolding
from markets.domain.moments import us_of
from markets.models import Instrument, World
from markets.recordings import Recording, recording_get
from markets.replay_feed import ticks_between
from markets.services import world_ensure
from markets.tape import Tick
from positions.models import ExitGuard, Position, PositionSlice
from tests.exits.brute import Course, Rules, course, percent_of

D = Decimal
VALUE = D(1000)  # of each position
SHIPPED = Rules(stop_pct=D(8), trail_from_pct=D(12), trail_by_pct=D(5), hours=D(14 * 24))
SMALL = (D("0.5"), D(1), D(2), D(3))
VARIANTS = (
    SHIPPED,
    *(Rules(stop_pct=x, trail_from_pct=x, trail_by_pct=x) for x in SMALL),
    *(Rules(stop_pct=x, steps=((x, D(100)),)) for x in SMALL),
    Rules(
        stop_pct=D(2), trail_from_pct=D(1), trail_by_pct=D("0.5"),
        steps=((D("0.5"), D(30)), (D(1), D(50)), (D(2), D(100))),
    ),
    Rules(stop_pct=D(3), hours=D(6)),
    Rules(trail_from_pct=D("0.5"), trail_by_pct=D("0.5"), hours=D(48)),
)  # fmt: skip


@dataclass(frozen=True)
class Flush:
    """What reached us at one moment."""

    number: int
    world_at: datetime
    received_at: datetime
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Opening:
    """A position to be opened at the end of a flush; our books hear of it then, or some flushes later."""

    code: str
    flush: int
    heard: int
    sign: int
    rules: Rules
    entry: D


@dataclass
class Play:
    """One recorded set, cut into flushes, and the positions opened in it."""

    world: World
    recording: Recording
    flushes: list[Flush]
    openings: list[Opening]
    position_ids: list[int]

    @property
    def late(self) -> dict[int, list[int]]:
        """The positions that are heard of later than they are opened, by the flush after which they are."""
        found: dict[int, list[int]] = defaultdict(list)
        for number, one in enumerate(self.openings):
            if one.heard > one.flush:
                found[one.heard].append(number)
        return found

    def tape(self, code: str) -> list[Tick]:
        """Every price of one instrument, in order."""
        return [tick for flush in self.flushes for tick in flush.ticks if tick.code == code]


def play_make(
    *, name: str, step: timedelta, now: datetime, apart: timedelta = timedelta(milliseconds=1)
) -> Play:
    """Cut a recording into flushes that reach us one after the other, so far ``apart``."""
    world = world_ensure(name=name, now=now, speed=D(600))
    recording = recording_get(name=name)
    flushes: list[Flush] = []
    after, received_at = recording.start_at, now
    while after < recording.end_at:
        until, received_at = min(after + step, recording.end_at), received_at + apart
        prices = recording.prices_at(until)
        ticks = ticks_between(
            world=world, recording=recording, prices=prices, after=after, until=until, now=received_at
        )
        flushes.append(Flush(len(flushes), until, received_at, tuple(ticks)))
        after = until
    return Play(world, recording, flushes, [], [])


def openings_choose(*, play: Play, every: int, late: int, seed: int) -> None:
    """Choose positions: every n-th of those that may be opened at recorded moments, by rules and sides.

    :param late: every how many-th is heard of only a while after its fill
    """
    chance = random.Random(seed)
    moments = [
        (flush.number, code)
        for flush in play.flushes[:-1]
        for code in sorted({tick.code for tick in flush.ticks if tick.quoted_us != us_of(flush.world_at)})
    ]
    wishes = [(*moment, sign, rules) for moment in moments for sign in (1, -1) for rules in VARIANTS]
    for number, (flush, code, sign, rules) in enumerate(chance.sample(wishes, len(wishes) // every)):
        heard = min(flush + chance.randint(1, 40), len(play.flushes) - 1) if number % late == 0 else flush
        entry = play.recording.prices_at(play.flushes[flush].world_at)[code]
        play.openings.append(Opening(code, flush, heard, sign, rules, entry))


def expected(*, play: Play, opening: Opening, tape: Sequence[Tick]) -> Course:
    """Return what a plain check over the record finds for a position."""
    opened = play.flushes[opening.flush]
    after_us = us_of(opened.world_at)
    prices = ((tick.quoted_us, tick.price) for tick in tape if tick.quoted_us > after_us)
    return course(
        rules=opening.rules, sign=opening.sign, entry=opening.entry, opened_us=after_us, prices=prices
    )


def positions_make(*, play: Play, numbers: Sequence[int], owner: Any, now: datetime) -> None:
    """Store positions with what guards them, a portfolio for each of an instrument's."""
    specs = {row.pk: row.spec() for row in Instrument.objects.filter(pk__in=play.recording.prices)}
    turns: Counter[str] = Counter()
    groups: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        code = play.openings[number].code
        groups[turns[code]].append(number)
        turns[code] += 1
    first = Portfolio.objects.count()
    portfolios = Portfolio.objects.bulk_create(
        Portfolio(owner=owner, name=f"Proof {first + turn}", policy="perp", world=play.world.name)
        for turn in groups
    )
    CapitalAccount.objects.bulk_create(
        CapitalAccount(portfolio=row, free=1000, committed=VALUE * len(members))
        for row, members in zip(portfolios, groups.values(), strict=True)
    )
    positions: list[Position] = []
    order: list[int] = []
    for portfolio, members in zip(portfolios, groups.values(), strict=True):
        for number in members:
            opening = play.openings[number]
            spec = specs[opening.code]
            size = max(spec.quantity(VALUE / opening.entry), spec.quantity_step) * opening.sign
            positions.append(
                Position(
                    portfolio=portfolio,
                    instrument_id=opening.code,
                    underlying=spec.underlying,
                    policy="perp",
                    status="active",
                    quantity=size,
                    cost=to_money(size * opening.entry),
                    margin=VALUE,
                    margin_rate=1,
                    opened_world_at=play.flushes[opening.flush].world_at,
                )
            )
            order.append(number)
    Position.objects.bulk_create(positions)
    PositionSlice.objects.bulk_create(
        PositionSlice(position=row, quantity=row.quantity, cost=row.cost) for row in positions
    )
    PaperHolding.objects.bulk_create(
        PaperHolding(
            account=account_name(portfolio_id=row.portfolio_id),
            instrument_code=row.instrument_id,
            quantity=row.quantity,
        )
        for row in positions
    )
    ExitGuard.objects.bulk_create(
        _guard(play=play, opening=play.openings[number], position=row, now=now)
        for number, row in zip(order, positions, strict=True)
    )
    if not play.position_ids:
        play.position_ids = [0] * len(play.openings)
    for number, row in zip(order, positions, strict=True):
        play.position_ids[number] = row.pk


def _guard(*, play: Play, opening: Opening, position: Position, now: datetime) -> ExitGuard:
    rules, opened = opening.rules, play.flushes[opening.flush]
    stop = percent_of(opening.entry, D(100) - opening.sign * rules.stop_pct) if rules.stop_pct else None
    return ExitGuard(
        position=position,
        world=play.world,
        run=play.world.run,
        instrument_id=opening.code,
        sign=opening.sign,
        entry_price=opening.entry,
        opened_world_at=opened.world_at,
        peak_price=opening.entry,
        first_stop_price=stop,
        stop_price=stop,
        since=opened.received_at,
        levels_from=opened.received_at,
        changed_at=now,
        stop_loss_pct=rules.stop_pct,
        trail_from_pct=rules.trail_from_pct,
        trail_by_pct=rules.trail_by_pct,
        time_stop_days=rules.hours / 24,
        take_profit=[{"gain_pct": str(gain), "fraction_pct": str(part)} for gain, part in rules.steps],
    )


Told = tuple[str, D, D | None, D, int]  # kind, price, level, fraction, world time of the price


def told_expected(found: Course) -> list[Told]:
    """Return the triggers that should stand in the database, where no order is ever filled.

    Steps of take profit join one that stands already; a stop or a time stop takes its place.
    """
    rows: list[Told] = []
    for seen in found.seen:
        fraction = seen.fraction
        if seen.kind == "take_profit" and rows:
            fraction = 1 - (1 - rows.pop()[3]) * (1 - fraction)
        rows.append((seen.kind, seen.price, seen.level, fraction.quantize(D("1e-12")), seen.at))
    return rows


def told_actual(*, position_ids: Sequence[int]) -> Iterator[tuple[int, list[Told]]]:
    """Yield what the watch stored, by position, oldest first."""
    rows: dict[int, list[Told]] = defaultdict(list)
    for row in ExitTrigger.objects.filter(position_id__in=position_ids).order_by("pk"):
        rows[row.position_id].append((row.kind, row.price, row.level, row.fraction, us_of(row.world_at)))
    for position_id in position_ids:
        yield position_id, rows[position_id]
