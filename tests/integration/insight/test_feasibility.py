"""Feasibility foretold, then followed: what happens lies within five points of it (BEY-4)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Portfolio
from allocation.domain.copied import JoinMode
from allocation.models import Follow
from core.types import ConflictRule, Policy
from engine import publishing, sending
from engine.domain.feasibility import Feasibility
from engine.feasibility import trader_feasibility
from engine.follows import follow_start
from markets.models import Mark
from markets.recordings import ALPHA_ARENA, HYPERLIQUID_WALLETS, recording_get
from positions.models import PositionSlice
from tests.integration.engine.stage import stage_open
from tests.replaying import ReplayDriver
from tests.stateful.worlds import CODES, MadeUpWorld
from traders.domain.reads import TraderPosition
from traders.services import trader_preview

D = Decimal
WITHIN = D("0.05")
SETS = {
    ALPHA_ARENA: ("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro"),
    HYPERLIQUID_WALLETS: ("acc10", "acc3", "acc4", "acc6", "acc9"),
}
PROFILES = ("conservative", "balanced", "aggressive")
SOME, MANY = 6, 120


@dataclass(frozen=True)
class Case:
    """One trial: when, who, with how much, under which rules."""

    seed: int
    fraction: float  # of the recording
    keys: tuple[str, ...]  # the last one is the candidate
    cash: str
    settings: dict[str, str]


def case_of(world: str, seed: int) -> Case:
    rng = random.Random(f"{world} {seed}")
    keys = rng.sample(SETS[world], rng.randint(1, 3))
    return Case(
        seed=seed,
        fraction=rng.uniform(0.05, 0.95),
        keys=tuple(keys),
        cash=rng.choice(["200", "1000", "5000", "10000", "40000"]),
        settings={
            "policy": rng.choice(list(Policy)).value,
            "risk_profile": rng.choice(PROFILES),
            "conflict_rule": rng.choice(list(ConflictRule)).value,
        },
    )


def copied_of(follow: Follow, world: str) -> Decimal:
    """What a follow's slices are worth now, unsigned."""
    marks = dict(Mark.objects.filter(world=world).values_list("instrument_id", "price"))
    parts = PositionSlice.objects.filter(follow=follow).exclude(quantity=0).select_related("position")
    return sum((abs(part.quantity) * marks[part.position.instrument_id] for part in parts), D(0))


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no message: the driver itself does what workers and pages would be asked to do."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    monkeypatch.setattr(publishing, "_poke", lambda *_: None)


def foretold(portfolio: Portfolio, key: str, driver: ReplayDriver, joins: JoinMode | None) -> Feasibility:
    preview = trader_preview(kind="replay", key=key, now=driver.wall_at)
    found = trader_feasibility(portfolio=portfolio, preview=preview, now=driver.wall_at, joins=joins)
    assert found is not None
    return found


def recorded_trial(world: str, case: Case, owner: Any, joins: JoinMode | None) -> tuple[Feasibility, Decimal]:
    """Live up to a moment, foretell, follow, let the orders fill; return what was told and what came."""
    recording = recording_get(name=world)
    driver = ReplayDriver(world, speed=D(1)).start()
    driver.forward((recording.end_at - recording.start_at).total_seconds() * case.fraction)
    others, candidate = case.keys[:-1], case.keys[-1]
    portfolio = driver.portfolio(
        owner, name=f"Trial {case.seed}", keys=others, cash=case.cash, auto_rebalance=True, **case.settings
    )
    driver.observe(others)
    driver.settle(steps=14)
    told = foretold(portfolio, candidate, driver, joins)
    follow = follow_start(
        portfolio=portfolio, kind="replay", key=candidate, join_mode="include_open", now=driver.wall_at
    )
    driver.observe([candidate])
    driver.settle(steps=20)
    assert driver.audit() == []
    return told, copied_of(follow, world)


@contextmanager
def undone() -> Iterator[None]:
    """Take back all that is stored within: the next trial begins at the recording's first moment again."""
    block = transaction.atomic()
    block._from_testcase = True  # as a test's own: what must not be in a transaction may be in this one
    with block:
        yield
        transaction.set_rollback(True)


def trials(world: str, seeds: range, owner: Any, joins: JoinMode | None) -> tuple[list[Any], int]:
    """Try every seed; return those that came to something else, and how many were copied in part."""
    off, in_part = [], 0
    for seed in seeds:
        case = case_of(world, seed)
        with undone():
            told, copied = recorded_trial(world, case, owner, joins)
        came = copied / told.wished if told.wished else D(1)
        in_part += 0 < told.fraction < 1
        if abs(min(came, D(1)) - told.fraction) > WITHIN:
            off.append((case, told.fraction, came, told.reasons, told.legs))
    return off, in_part


@pytest.fixture(params=[range(SOME), pytest.param(range(SOME, MANY), marks=pytest.mark.exhaustive)])
def seeds(request: pytest.FixtureRequest) -> range:
    """A few trials; more than a hundred where all are asked for."""
    chosen: range = request.param
    if chosen.start and "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("a hundred trials take minutes: pytest -m exhaustive")
    return chosen


@pytest.mark.parametrize("world", SETS)
def test_following_a_recorded_trader_comes_to_what_was_foretold(
    world: str, seeds: range, db: None, nobody_listens: None, alice: Any
) -> None:
    """Moments, capitals, policies, profiles, rules and company drawn by seed; all within five points."""
    off, _ = trials(world, seeds, alice, JoinMode.INCLUDE_OPEN)
    assert off == []


@pytest.mark.parametrize("world", SETS)
def test_a_whole_recorded_book_comes_to_what_was_foretold(
    world: str, seeds: range, db: None, nobody_listens: None, alice: Any, settings: Any, monkeypatch: Any
) -> None:
    """The same for all that the trader has open, with whatever price it has joined."""
    monkeypatch.setattr("allocation.domain.copied.ENTRY_TOLERANCE", D(1000))
    settings.MAX_CHASE_PCT = D(100_000)
    off, in_part = trials(world, seeds, alice, None)
    assert off == []
    assert in_part >= 1


def book_of(play: MadeUpWorld, rng: random.Random) -> dict[str, TraderPosition]:
    codes = [code for code in rng.sample(CODES, rng.randint(1, 4)) if code != "UBTC"]
    exposures = {code: D(rng.choice(["0.02", "0.1", "0.3", "0.8", "-0.1", "-0.5"])) for code in codes}
    return {
        code: TraderPosition(
            code, (D(10000) * exposure / play.prices[code]).quantize(D("0.000001")), price, price, play.now
        )
        for code, exposure in exposures.items()
        if (price := play.prices[code])
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_book_opened_after_following_comes_to_what_was_foretold(
    seed: int, made_up: MadeUpWorld, alice: Any, nobody_listens: None
) -> None:
    """The whole book, foretold while it was open, is opened anew once the trader is followed."""
    rng = random.Random(seed)
    stage = stage_open(
        play=made_up,
        owner=alice,
        traders=rng.randint(1, 2),
        policy=rng.choice(list(Policy)).value,
        risk_profile=rng.choice(PROFILES),
    )
    stage.hold(1, "ETH", "0.5")
    stage.settle()
    key = made_up.keys[5]
    made_up.pass_time(seconds=11)
    made_up.traders[key].positions = book_of(made_up, rng)
    preview = trader_preview(kind=made_up.kind, key=key, now=made_up.now)
    told = trader_feasibility(portfolio=stage.portfolio, preview=preview, now=made_up.now)
    assert told is not None
    opened, made_up.traders[key].positions = made_up.traders[key].positions, {}
    made_up.pass_time(seconds=11)
    follow = follow_start(portfolio=stage.portfolio, kind=made_up.kind, key=key, now=made_up.now)
    stage.sync()
    stage.settle()
    made_up.pass_time(seconds=11)
    made_up.traders[key].positions = opened
    made_up.due(key)
    stage.sync()
    stage.settle(steps=12)
    came = copied_of(follow, "live") / told.wished
    assert abs(came - told.fraction) <= WITHIN, (told, came)


def test_a_trader_of_another_world_is_not_foretold(arena: ReplayDriver, alice: Any) -> None:
    """Prices of two worlds cannot be mixed."""
    portfolio = arena.portfolio(alice, name="Arena", keys=["grok-4"])
    preview = trader_preview(kind="replay", key="acc10", now=arena.wall_at)
    assert trader_feasibility(portfolio=portfolio, preview=preview, now=arena.wall_at) is None


def test_foretelling_changes_nothing(arena: ReplayDriver, alice: Any) -> None:
    """No follow, no order, no booking: the account's version stands."""
    portfolio = arena.portfolio(alice, name="Arena", keys=["grok-4"])
    arena.forward(600)
    version = portfolio.capital.version
    told = foretold(portfolio, "deepseek-chat-v3.1", arena, None)
    portfolio.capital.refresh_from_db()
    assert told.share == 5000
    assert portfolio.capital.version == version
    assert Follow.objects.filter(portfolio=portfolio).count() == 1
