"""The feed: marks of replays and of the live world, recorded changes, runs: MKT-1, "Worlds and time"."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.db import DatabaseError

from core.clock import SYSTEM_CLOCK
from markets import replay_feed as feed_module
from markets.feed import Feed
from markets.feed_hooks import FeedHooks
from markets.hyperliquid import Contexts, contexts_from
from markets.live_feed import LiveFeed
from markets.models import Instrument, Mark, PriceSample, World
from markets.replay_feed import ReplayTicker
from markets.selectors import contexts_recent, marks_for, world_get
from markets.services import world_ensure
from markets.tape_buffer import tape_buffer_make
from tests.feeding import Above, HandClock
from tests.loopback.hyperliquid import recorded
from tests.loopback.running import HyperliquidProcess

pytestmark = pytest.mark.django_db(transaction=True)

ARENA = "replay:alpha_arena"
START_AT = datetime(2025, 10, 17, 22, 0, tzinfo=UTC)


@pytest.fixture
def above() -> Above:
    """The packages above."""
    return Above()


@pytest.fixture
def clock(now: datetime) -> HandClock:
    """A clock moved by hand."""
    return HandClock(now)


def test_a_tick_writes_all_marks_at_world_time(above: Above, clock: HandClock) -> None:
    """MKT-1: six marks at the interpolated price of the replay's time, all from one moment."""
    world_ensure(name=ARENA, now=clock.now(), speed=Decimal(600))
    ticker = ReplayTicker(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    clock.move(30)
    ticker.tick()
    marks = marks_for(world=ARENA, now=clock.now())
    world_at = START_AT + timedelta(hours=5)
    assert {(mark.quoted_at, mark.received_at, mark.run) for mark in marks.values()} == {
        (world_at, clock.at, 1)
    }
    assert marks["BTC"].price == Decimal("106969.526")
    assert above.marks == [ARENA]


def test_recorded_changes_are_told_once(above: Above, clock: HandClock) -> None:
    """Worlds and time: every trader whose record changed since the last tick, and none twice."""
    world_ensure(name=ARENA, now=clock.now(), speed=Decimal(600))
    ticker = ReplayTicker(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    ticker.tick()
    clock.move(0.7)  # 7 minutes of the replay; the first recorded entries are at 22:06
    ticker.tick()
    assert above.moved == [(ARENA, ["qwen3-max", "grok-4"])]
    ticker.tick()
    assert len(above.moved) == 1


def test_what_could_not_be_told_is_told_again(above: Above, clock: HandClock) -> None:
    """Worlds and time: a fault above loses no change."""
    world_ensure(name=ARENA, now=clock.now(), speed=Decimal(600))
    hooks = above.hooks()
    failing = [True]

    def tell(world: str, keys: Sequence[str]) -> None:
        if failing.pop() if failing else False:
            raise DatabaseError("away")
        above.moved.append((world, keys))

    ticker = ReplayTicker(
        clock=clock,
        hooks=FeedHooks(
            on_marks=hooks.on_marks,
            trader_events=hooks.trader_events,
            on_trader_events=tell,
            may_restart=hooks.may_restart,
            live_wanted=hooks.live_wanted,
            live_codes=hooks.live_codes,
            live_sections=hooks.live_sections,
        ),
        tape=tape_buffer_make(),
    )
    ticker.tick()
    clock.move(0.7)
    ticker.tick()
    assert above.moved == []
    ticker.tick()
    assert above.moved == [(ARENA, ["qwen3-max", "grok-4"])]


def test_a_finished_replay_stands_still_and_starts_again_when_flat(above: Above, clock: HandClock) -> None:
    """Worlds and time: the end holds; the next run starts after 10 s, once nothing is held any more."""
    world = world_ensure(name=ARENA, now=clock.now(), speed=Decimal(600))
    ticker = ReplayTicker(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    clock.move(3600)
    for _ in range(3):
        ticker.tick()
        assert Mark.objects.values_list("quoted_at", flat=True).distinct().get() == world.world_end_at
        clock.move(6)
    assert world_get(name=ARENA).run == 1  # rested long enough, but something is still held
    above.restart = True
    ticker.tick()
    assert world_get(name=ARENA).run == 2
    assert set(Mark.objects.values_list("run", "quoted_at")) == {(2, START_AT)}
    above.moved.clear()
    clock.move(0.8)  # 22:08 of the second run
    ticker.tick()
    assert above.moved == [(ARENA, ["qwen3-max", "grok-4"])]
    clock.move(3600)
    ticker.tick()
    clock.move(9)
    ticker.tick()
    assert world_get(name=ARENA).run == 2  # each end rests anew
    clock.move(1)
    ticker.tick()
    assert world_get(name=ARENA).run == 3


def test_a_change_of_speed_does_not_jump(clock: HandClock) -> None:
    """Worlds and time: a replay set to another speed goes on from where it is."""
    world_ensure(name=ARENA, now=clock.now(), speed=Decimal(600))
    clock.move(10)
    before = world_get(name=ARENA).clock().at(clock.now())
    world = world_ensure(name=ARENA, now=clock.now(), speed=Decimal(60))
    assert world.clock().at(clock.now()) == before == START_AT + timedelta(seconds=6000)
    clock.move(10)
    assert world.clock().at(clock.now()) == before + timedelta(seconds=600)
    assert world_ensure(name=ARENA, now=clock.now()).speed == 60  # no speed asked for: none changed


_CONTEXTS = (
    '[{"universe":[{"name":"xyz:TSLA","szDecimals":3,"maxLeverage":10},'
    '{"name":"xyz:ODD","szDecimals":3,"maxLeverage":10}]},'
    '[{"dayNtlVlm":"23565824.4043","impactPxs":["399.288","399.542"]},{"dayNtlVlm":"1.0","impactPxs":null}]]'
)


def heard(live: LiveFeed, runner: asyncio.Runner) -> None:
    """Poll once and store the marks, as a turn of the feed does."""
    live.poll(runner)
    live._store.marks()


def test_live_marks_come_with_the_venues_own_rules(
    above: Above, clock: HandClock, hyperliquid: HyperliquidProcess
) -> None:
    """MKT-1: one request for all prices, instruments from the meta, only where somebody needs them."""
    above.codes = ("xyz:TSLA",)
    hyperliquid.script(
        answers={
            "meta||xyz": '{"universe":[{"name":"xyz:TSLA","szDecimals":3,"maxLeverage":10}]}',
            "allMids||xyz": '{"xyz:TSLA":"412.5","xyz:ODD":"1.0"}',
            "metaAndAssetCtxs||xyz": _CONTEXTS,
            "metaAndAssetCtxs||": '[{"universe":[]},[]]',
        }
    )
    live = LiveFeed(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    with asyncio.Runner() as runner:
        above.wanted = False
        heard(live, runner)
        assert hyperliquid.stats()["total"] == 0
        above.wanted = True
        heard(live, runner)
        clock.move(5)
        heard(live, runner)
        runner.run(live._poller.client.close())
    assert hyperliquid.stats()["asked"] == {"meta": 2, "allMids": 4, "metaAndAssetCtxs": 2}
    tesla = contexts_recent(codes=["xyz:TSLA"], now=clock.now())["xyz:TSLA"]
    assert (tesla.day_volume, tesla.impact_spread) == (Decimal("23565824.40"), Decimal("0.00063593"))
    assert contexts_recent(codes=["xyz:TSLA"], now=clock.now() + timedelta(minutes=15)) == {}
    marks = marks_for(world="live", now=clock.now())
    assert marks["xyz:TSLA"].price == Decimal("412.5")
    assert marks["BTC"].price > 0
    assert "@107" not in marks
    assert "xyz:ODD" not in marks
    btc = Instrument.objects.get(code="BTC")
    assert (btc.quantity_step, btc.price_places, btc.max_leverage) == (Decimal("0.00001"), 1, 40)
    assert btc.source_note == "Hyperliquid meta, 02 Mar 2026"
    assert not Instrument.objects.filter(code="MATIC").exists()  # delisted
    assert above.marks == ["live", "live"]
    assert PriceSample.objects.filter(instrument="BTC").count() == 1


def test_the_recorded_context_says_how_much_trades() -> None:
    """EXE-2: the venue's own answer of 6 Feb 2026; (24,657 − 24,655) ÷ 24,656 is a third of a basis point."""
    body = recorded("metaAndAssetCtxs__mainnet__00__go-hyperliquid")
    first, second, *_ = contexts_from(msgspec.json.decode(body, type=Contexts))
    assert (first.code, first.day_volume) == ("xyz:XYZ100", Decimal("527123746.7819995284"))
    assert first.impact_spread == Decimal(4) / Decimal(49312)
    assert (second.code, round(second.impact_spread or 0, 8)) == ("xyz:TSLA", Decimal("0.00063593"))


def test_volume_and_depth_that_cannot_be_read_stop_no_price(
    above: Above, clock: HandClock, hyperliquid: HyperliquidProcess
) -> None:
    """EXE-2, MKT-1: prices are written, nothing is known of the markets, and it is asked again later."""
    hyperliquid.script(rules=[{"type": "metaAndAssetCtxs", "do": "500"}])
    live = LiveFeed(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    with asyncio.Runner() as runner:
        for _ in range(3):
            heard(live, runner)
        assert live.pause_s() == 5.0
        runner.run(live._poller.client.close())
    assert marks_for(world="live", now=clock.now())["BTC"].price > 0
    assert contexts_recent(codes=["BTC"], now=clock.now()) == {}
    assert hyperliquid.stats()["asked"]["metaAndAssetCtxs"] == 1


def test_live_prices_that_fail_slow_down_and_recover(
    above: Above, clock: HandClock, hyperliquid: HyperliquidProcess
) -> None:
    """SYN-3, MKT-1: failures stretch the pause, up to a minute; marks age and turn stale meanwhile."""
    live = LiveFeed(clock=clock, hooks=above.hooks(), tape=tape_buffer_make())
    with asyncio.Runner() as runner:
        heard(live, runner)
        assert live.pause_s() == 5.0
        hyperliquid.script(rules=[{"type": "allMids", "do": "500"}])
        for _ in range(6):
            heard(live, runner)
        pauses = [live.pause_s() for _ in range(50)]
        assert all(5.0 <= pause <= 60.0 for pause in pauses)
        assert max(pauses) > 20.0
        clock.move(16)
        assert marks_for(world="live", now=clock.now())["BTC"].stale
        hyperliquid.script(rules=[])
        heard(live, runner)
        assert live.pause_s() == 5.0
        assert not marks_for(world="live", now=clock.now())["BTC"].stale
        runner.run(live._poller.client.close())


def eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def test_the_whole_feed_runs_survives_a_fault_and_stops(
    above: Above, hyperliquid: HyperliquidProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MKT-1: ticks every second in real time, goes on after a database fault, and ends when told to."""
    above.wanted = False
    world_ensure(name=ARENA, now=SYSTEM_CLOCK.now(), speed=Decimal(600))
    stop = threading.Event()
    faults = []
    real = feed_module.replay_worlds

    def sometimes_away() -> list[World]:
        if above.marks and not faults:
            faults.append(1)
            raise DatabaseError("the database is away")
        return real()

    monkeypatch.setattr(feed_module, "replay_worlds", sometimes_away)
    thread = threading.Thread(target=Feed(clock=SYSTEM_CLOCK, hooks=above.hooks()).run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: len(above.marks) >= 3)
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()
    assert faults == [1]
    quoted = Mark.objects.values_list("quoted_at", flat=True).distinct().get()
    assert quoted > START_AT + timedelta(minutes=20)
