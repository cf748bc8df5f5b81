"""RSK-1: recent returns of a replay and of the live world."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isnan
from typing import Any

import pytest

from markets import returns
from markets.domain.prices import PriceSeries
from markets.models import LIVE, Instrument, PriceSample, World
from markets.recordings import ALPHA_ARENA, ALPHA_ARENA_START_AT, recording_get
from markets.returns import returns_forget, returns_hour, returns_recent
from markets.services import samples_prune, samples_write, world_ensure

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    returns_forget()
    yield
    returns_forget()


def live(*codes: str) -> World:
    for code in codes:
        Instrument.objects.create(code=code, underlying=code, quantity_step=Decimal("0.001"), price_places=2)
    return world_ensure(name=LIVE, now=START)


def known(row: tuple[float, ...]) -> dict[int, float]:
    """Return what is known, by hours back: 0 is the newest."""
    return {len(row) - 1 - place: round(value, 9) for place, value in enumerate(row) if not isnan(value)}


def test_a_replay_never_looks_past_its_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """RSK-1: the same returns come from a recording that ends at that hour."""
    world = world_ensure(name=ALPHA_ARENA, now=START, speed=Decimal(3600))
    now = START + timedelta(seconds=60)  # sixty hours of world time
    newest = ALPHA_ARENA_START_AT + timedelta(hours=60)
    assert returns_hour(world=world, now=now) == newest
    codes = ["BTC", "ETH", "SOL"]
    whole = returns_recent(world=world, codes=codes, now=now)
    assert {code: len(row) for code, row in whole.items()} == dict.fromkeys(codes, 168)
    recording = recording_get(name=ALPHA_ARENA)
    for code in codes:
        series = recording.prices[code]
        points = zip(series.times_us, series.prices, strict=True)
        seen = [(t, p) for t, p in points if t <= newest.timestamp() * 1_000_000]
        cut = PriceSeries(times_us=tuple(t for t, _ in seen), prices=tuple(p for _, p in seen))
        monkeypatch.setitem(recording.prices, code, cut)
    returns_forget()
    again = returns_recent(world=world, codes=codes, now=now)
    assert {code: known(row) for code, row in again.items()} == {c: known(r) for c, r in whole.items()}
    assert 24 <= len(known(whole["BTC"])) <= 60


def test_the_live_world_returns_what_the_feed_kept_at_full_hours() -> None:
    """RSK-1: one price an hour, the first one; later than five minutes past it none."""
    world = live("BTC", "ETH")
    assert samples_write(world=world, prices={"BTC": Decimal(100), "ETH": Decimal(10)}, at=START)
    again = START + timedelta(seconds=299)
    assert samples_write(world=world, prices={"BTC": Decimal(500)}, at=again)
    assert not samples_write(world=world, prices={"BTC": Decimal(500)}, at=START + timedelta(minutes=5))
    samples_write(world=world, prices={"BTC": Decimal(101)}, at=START + timedelta(hours=1))

    two_past = START + timedelta(hours=1, minutes=2)
    assert returns_hour(world=world, now=two_past) == START  # prices of 13:00 may still come in
    six_past = START + timedelta(hours=1, minutes=6)
    rows = returns_recent(world=world, codes=["BTC", "ETH", "NONE"], now=six_past)
    assert {code: known(row) for code, row in rows.items()} == {"BTC": {0: 0.01}, "ETH": {}, "NONE": {}}


def test_returns_are_read_once_an_hour(django_assert_num_queries: Any) -> None:
    """The copy cycle asks each time; a query happens once per hour, and for codes that are new."""
    world = live("BTC", "ETH")
    with django_assert_num_queries(1):
        returns_recent(world=world, codes=["BTC"], now=START)
        returns_recent(world=world, codes=["BTC"], now=START + timedelta(minutes=3))
    with django_assert_num_queries(1):
        returns_recent(world=world, codes=["BTC", "ETH"], now=START)
    with django_assert_num_queries(1):
        returns_recent(world=world, codes=["BTC", "ETH"], now=START + timedelta(hours=1))
    assert list(returns._kept) == [LIVE]


def test_samples_older_than_eight_days_go() -> None:
    """A week of returns needs no more."""
    world = live("BTC")
    for days in (0, 5, 9):
        samples_write(world=world, prices={"BTC": Decimal(100)}, at=START - timedelta(days=days))
    assert samples_prune(now=START) == 1
    assert PriceSample.objects.count() == 2
