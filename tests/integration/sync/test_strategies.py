"""Strategies as traders: their books follow the recorded candles, each decided once (SIG-1, FOL-3, SYN-6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from core.errors import InputError, RetryLater
from engine.syncing import strategies_run
from markets.domain.candles import CANDLE_SPAN
from markets.models import Instrument, Mark
from markets.recordings import COINBASE_2018, recording_get
from markets.selectors import marks_for, world_get
from markets.services import instruments_ensure, world_run_start
from tests.integration.sync.conftest import StillClock
from traders import strategy_books
from traders.models import StrategyBook, StrategyLeg, StrategySignal, Trader, TraderSnapshot
from traders.selectors import signals_latest, trader_read_latest
from traders.services import trader_find_or_create, trader_preview
from traders.strategies import base
from traders.strategies.catalog import strategy_get
from traders.strategies.pairs import PairSet, pair_set_get
from traders.strategy_books import BookState, book_advance
from traders.sync import sync_due, sync_prune

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
KEY = "rsi_macd_vwap:coinbase_2018"
START_AT = datetime(2018, 4, 4, 0, 1, tzinfo=UTC)
END_AT = datetime(2018, 4, 6, tzinfo=UTC)
NOON = datetime(2018, 4, 5, 12, 0, tzinfo=UTC)
Row = tuple[datetime, str, str, Decimal]


def wall_of(world_at: datetime, now: datetime) -> datetime:
    """Return the wall time at which a replay started at ``now`` with speed 600 reaches ``world_at``."""
    return now + (world_at - START_AT) / 600


def plain_book(until: datetime) -> tuple[Decimal, dict[str, Decimal], list[Row]]:
    """Trade the recorded candles in a plain loop; return cash, what is held, and what was said and done."""
    recording, found = recording_get(name=COINBASE_2018), pair_set_get(key=KEY)
    cash, held, closes, rows = D(10000), {"BTC": D(0), "ETH": D(0)}, {"BTC": D(0), "ETH": D(0)}, []
    steps = {"BTC": D("0.00001"), "ETH": D("0.0001")}
    for place in range(576):
        for code in ("BTC", "ETH"):
            candles = recording.candles[code][max(0, place - 299) : place + 1]
            if candles[-1].closed_at > until:
                continue
            close = closes[code] = candles[-1].close
            side = found.strategy.decide(candles, found.pairs[code]).side.value
            quantity = D(0)
            if side == "BUY" and not held[code]:
                equity = cash + sum(held[one] * closes[one] for one in held)
                quantity = equity * D("0.05") / close // steps[code] * steps[code]
            if side == "SELL":
                quantity = -held[code]
            held[code] += quantity
            cash -= (quantity * close).quantize(D("0.00000001"))
            rows.append((candles[-1].closed_at, code, side, quantity))
    return cash, held, rows


def kept() -> list[Row]:
    """Return the kept signals in the order of time."""
    rows = StrategySignal.objects.order_by("at", "code")
    return [(row.at, row.code, row.side, row.quantity) for row in rows]


def advance(trader: Trader, world_at: datetime, now: datetime) -> BookState:
    """Advance a book to a world time of the first run."""
    clock = world_get(name=trader.world).clock()
    return book_advance(trader=trader, clock=clock, now=wall_of(world_at, now))


@pytest.fixture
def trader(now: datetime) -> Trader:
    """The built-in strategy in the world with real candles."""
    return trader_find_or_create(kind="strategy", key=KEY, now=now)


def test_a_strategy_is_read_like_any_trader(trader: Trader, now: datetime, still: StillClock) -> None:
    """FOL-3: equity and positions at noon are those of a plain loop over the candles closed by then."""
    assert (trader.name, trader.monogram, trader.world) == (
        "RSI, MACD and VWAP, April 2018",
        "RM",
        COINBASE_2018,
    )
    noon = wall_of(NOON, now)
    assert sync_due(now=noon, clock=still).changed_trader_ids == [trader.pk]
    trader.refresh_from_db()
    read = trader_read_latest(trader=trader)
    assert read is not None
    cash, held, rows = plain_book(NOON)
    assert kept() == rows
    assert len(rows) == 2 * 36 * 12
    marks = {code: mark.price for code, mark in marks_for(world=COINBASE_2018, now=now).items()}
    assert read.quantities() == {code: quantity for code, quantity in held.items() if quantity}
    assert read.quantities()
    worth = sum(held[code] * marks[code] for code in held)
    assert read.equity == (cash + worth).quantize(D("0.00000001"))
    for position in read.positions:
        bought = [row for row in rows if row[1] == position.code and row[3] > 0][-1]
        closed = recording_get(name=COINBASE_2018).candles_closed(
            code=position.code, before=bought[0], limit=1
        )
        assert (position.opened_at, position.entry_price) == (bought[0], closed[0].close)


def test_the_whole_recording_is_the_plain_loop_however_it_is_cut(trader: Trader, now: datetime) -> None:
    """SIG-1: advanced in pieces of any length, each twice, the book is that of one loop over everything."""
    at, piece = START_AT, 1
    while at < END_AT:
        at, piece = min(END_AT, at + timedelta(minutes=3 * piece)), piece * 5 % 37
        once = advance(trader, at, now)
        assert advance(trader, at, now) == once
    cash, held, rows = plain_book(END_AT)
    assert kept() == rows
    assert len(rows) == 2 * 576
    book = StrategyBook.objects.get(trader=trader)
    assert book.cash == cash
    legs = {leg.code: (leg.quantity, leg.reached_at) for leg in StrategyLeg.objects.all()}
    assert legs == {code: (quantity, END_AT) for code, quantity in held.items()}
    assert sum(row[3] > 0 for row in rows) > 10  # it really traded


def test_what_was_said_does_not_change_when_more_is_known(trader: Trader, now: datetime) -> None:
    """SIG-1: the signals up to noon are the same before and after the rest of the day is known."""
    advance(trader, NOON, now)
    before = list(StrategySignal.objects.order_by("at", "code").values())
    advance(trader, END_AT, now)
    assert list(StrategySignal.objects.filter(at__lte=NOON).order_by("at", "code").values()) == before


def test_two_at_once_decide_each_candle_once(trader: Trader, now: datetime) -> None:
    """SYN-6: whoever comes second stores nothing and returns what the first one stored."""
    advance(trader, NOON, now)

    def turn(minutes: int) -> BookState:
        try:
            return advance(trader, NOON + timedelta(minutes=minutes), now)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(turn, [minutes for minutes in range(5, 200, 5) for _ in range(4)]))
    last = advance(trader, NOON + timedelta(minutes=195), now)
    cash, held, rows = plain_book(NOON + timedelta(minutes=195))
    assert kept() == rows
    assert (last.book.cash, {code: leg.quantity for code, leg in last.book.legs.items()}) == (cash, held)


def test_a_stale_advance_stores_nothing(
    trader: Trader, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYN-6: another worker stores between our reading and our storing; its book stands."""
    clock = world_get(name=trader.world).clock()
    early, late = wall_of(NOON, now), wall_of(NOON + timedelta(hours=3), now)
    book_advance(trader=trader, clock=clock, now=early)
    decide = strategy_books._decide
    between: list[BookState] = []

    def overtaken(pair_set: PairSet, state: BookState, **times: Any) -> Any:
        decided = decide(pair_set, state, **times)
        monkeypatch.setattr(strategy_books, "_decide", decide)
        between.append(book_advance(trader=trader, clock=clock, now=early + timedelta(seconds=1)))
        return decided

    monkeypatch.setattr(strategy_books, "_decide", overtaken)
    assert book_advance(trader=trader, clock=clock, now=late) == between[0]
    assert StrategySignal.objects.latest("at").at == NOON + timedelta(minutes=10)
    assert book_advance(trader=trader, clock=clock, now=late).book.legs["BTC"].reached_at == NOON + (
        timedelta(hours=3)
    )


def test_a_new_run_begins_a_new_book(trader: Trader, now: datetime) -> None:
    """Worlds and time: each loop of a replay starts with 10,000 and keeps its own signals alone."""
    advance(trader, NOON, now)
    later = wall_of(NOON, now)
    world = world_run_start(world=world_get(name=COINBASE_2018), now=later)
    state = book_advance(trader=trader, clock=world.clock(), now=later + timedelta(seconds=1))
    assert (state.run, state.book.cash, state.started_at) == (2, D(10000), START_AT)
    assert kept() == plain_book(START_AT + timedelta(minutes=10))[2]
    assert set(StrategySignal.objects.values_list("run", flat=True)) == {2}


def test_a_preview_shows_the_book_and_stores_nothing(now: datetime) -> None:
    """FOL-1: what is open now and what it has won since the start of the run, before anybody follows."""
    first = trader_preview(kind="strategy", key=KEY, now=now)
    assert (first.equity, first.positions, first.trader_id) == (D(10000), (), None)
    noon = wall_of(NOON, now)
    preview = trader_preview(kind="strategy", key=f" {KEY} ", now=noon)
    assert not Trader.objects.exists()
    assert not StrategyBook.objects.exists()
    trader = trader_find_or_create(kind="strategy", key=KEY, now=noon)
    sync_due(now=noon, clock=StillClock(noon))
    trader.refresh_from_db()
    read = trader_read_latest(trader=trader)
    assert read is not None
    assert preview.equity == read.equity
    assert {p.code: p.quantity for p in preview.positions} == read.quantities() != {}
    (pnl,) = preview.recent_pnl
    assert (pnl.label, pnl.amount) == ("Since the start of the run", preview.equity - 10000)
    assert trader_preview(kind="strategy", key=KEY, now=noon).trader_id == trader.pk


@pytest.mark.parametrize("key", ["moon:majors", "rsi_macd_vwap:moon", "rsi_macd_vwap", ""])
def test_an_unknown_strategy_or_set_is_refused(key: str, now: datetime) -> None:
    """FOL-3: a clear error, and nothing is made."""
    with pytest.raises(InputError, match=r"There is no strategy|has no set of pairs"):
        trader_find_or_create(kind="strategy", key=key, now=now)
    with pytest.raises(InputError, match="Known"):
        trader_preview(kind="strategy", key=key, now=now)
    assert not Trader.objects.exists()


def file_write(path: Path, settings: Any, text: str) -> None:
    """Let the platform read another file of strategies."""
    path.write_text(text)
    settings.STRATEGIES_FILE = path


def test_interpolated_prices_give_no_signal(
    now: datetime, settings: Any, tmp_path: Path, still: StillClock
) -> None:
    """A world whose prices look ahead: HOLD with that reason, once a run, and nothing is ever bought."""
    body = "{mine: {world: 'replay:alpha_arena', pairs: {BTC: , ETH: }}}"
    file_write(tmp_path / "arena.yaml", settings, f"rsi_macd_vwap: {body}")
    trader = trader_find_or_create(kind="strategy", key="rsi_macd_vwap:mine", now=now)
    for minutes in (1, 5, 10):
        assert strategies_run(now=now + timedelta(minutes=minutes)) == []
    rows = StrategySignal.objects.order_by("code")
    assert [(row.code, row.side, row.quantity, row.outcome) for row in rows] == [
        ("BTC", "HOLD", 0, "nothing to do"),
        ("ETH", "HOLD", 0, "nothing to do"),
    ]
    (reason,) = {row.reason for row in rows}
    assert reason == (
        "The prices of Alpha Arena, 17 to 28 October 2025 (replay) are interpolated between recorded trades: "
        "nothing to take signals from."
    )
    later = now + timedelta(minutes=10)
    assert sync_due(now=later, clock=still).synced_ids == [trader.pk]
    assert TraderSnapshot.objects.get().equity == D(10000)


def test_strategies_of_two_worlds_are_read_side_by_side(
    trader: Trader, now: datetime, settings: Any, tmp_path: Path, still: StillClock
) -> None:
    """SYN-1: one sync reads both, each at its own world's time; what was fetched for one stays."""
    coinbase = f"coinbase_2018: {{world: '{COINBASE_2018}', pairs: {{BTC: , ETH: }}}}"
    arena = "arena: {world: 'replay:alpha_arena', pairs: {BTC: }}"
    file_write(tmp_path / "both.yaml", settings, f"rsi_macd_vwap: {{{coinbase}, {arena}}}")
    other = trader_find_or_create(kind="strategy", key="rsi_macd_vwap:arena", now=now)
    noon = wall_of(NOON, now)
    assert sorted(sync_due(now=noon, clock=still).synced_ids) == [trader.pk, other.pk]
    snapshots = {snapshot.trader_id: snapshot for snapshot in TraderSnapshot.objects.all()}
    assert snapshots[trader.pk].world_at == NOON
    assert snapshots[other.pk].world_at.year == 2025
    assert snapshots[trader.pk].equity != snapshots[other.pk].equity == D(10000)


def test_who_trades_is_read_at_once(trader: Trader, now: datetime, still: StillClock) -> None:
    """MKT-2: the trade of a closed candle does not wait for the trader's next turn; others are left alone."""
    sync_due(now=now, clock=still)
    cash_and_rows = plain_book(END_AT)[2]
    first = next(at for at, _, _, quantity in cash_and_rows if quantity)
    before, after = wall_of(first - timedelta(seconds=1), now), wall_of(first, now)
    Trader.objects.update(next_sync_at=now + timedelta(days=1))
    assert strategies_run(now=before) == []
    assert Trader.objects.get().next_sync_at == now + timedelta(days=1)
    assert strategies_run(now=after) == [trader.pk]
    assert Trader.objects.get().next_sync_at == after
    assert sync_due(now=after, clock=still).changed_trader_ids == [trader.pk]


def test_a_paused_strategy_rests_and_catches_up(trader: Trader, now: datetime) -> None:
    """A trader nobody follows is not advanced; the one that is followed again is decided to the end."""
    Trader.objects.update(status="paused")
    assert strategies_run(now=wall_of(NOON, now)) == []
    assert kept() == []
    Trader.objects.update(status="active")
    strategies_run(now=wall_of(NOON, now))
    assert kept() == plain_book(NOON)[2]


def test_an_instrument_taken_out_of_the_file_is_sold(
    trader: Trader, now: datetime, settings: Any, tmp_path: Path
) -> None:
    """Its last close is its price, and the signal says why; the other one goes on."""
    cash, held, rows = plain_book(NOON)
    assert held["BTC"] > 0 or held["ETH"] > 0
    gone = "BTC" if held["BTC"] else "ETH"
    other = "ETH" if gone == "BTC" else "BTC"
    advance(trader, NOON, now)
    body = f"{{coinbase_2018: {{world: '{COINBASE_2018}', pairs: {{{other}: }}}}}}"
    file_write(tmp_path / "less.yaml", settings, f"rsi_macd_vwap: {body}")
    state = advance(trader, NOON + timedelta(seconds=1), now)
    close = recording_get(name=COINBASE_2018).candles_closed(code=gone, before=NOON, limit=1)[0].close
    assert state.book.cash == cash + (held[gone] * close).quantize(D("0.00000001"))
    assert list(state.book.legs) == [other]
    sold = StrategySignal.objects.latest("id")
    assert (sold.code, sold.side, sold.quantity) == (gone, "SELL", -held[gone])
    assert sold.reason == f"{gone} was taken out of the file of strategies."
    assert len(kept()) == len(rows) + 1


def test_a_set_taken_out_of_the_file_is_a_failing_trader(
    trader: Trader, now: datetime, settings: Any, tmp_path: Path, still: StillClock
) -> None:
    """SYN-4: its followers are told; what it held is not taken for closed."""
    sync_due(now=wall_of(NOON, now), clock=still)
    snapshot = TraderSnapshot.objects.get()
    file_write(tmp_path / "empty.yaml", settings, "")
    Trader.objects.update(next_sync_at=now)
    assert strategies_run(now=wall_of(NOON, now) + timedelta(seconds=1)) == []
    assert sync_due(now=wall_of(NOON, now) + timedelta(seconds=1), clock=still).failed_ids == [trader.pk]
    trader.refresh_from_db()
    assert (
        trader.last_error == "Strategy rsi_macd_vwap has no set of pairs named “coinbase_2018”. It has none."
    )
    assert trader.latest_snapshot_id == snapshot.pk
    with pytest.raises(InputError):
        trader_preview(kind="strategy", key=KEY, now=now)


def test_a_faulty_strategy_stops_nobody_else(
    trader: Trader,
    now: datetime,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    still: StillClock,
) -> None:
    """SYN-4: anybody's code may raise; it is that trader's failure, with the reason."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("no volume")

    sound = strategy_get(name="rsi_macd_vwap")
    monkeypatch.setitem(base._found, "broken", replace(sound, name="broken", decide=broken))
    body = f"{{coinbase_2018: {{world: '{COINBASE_2018}', pairs: {{BTC: , ETH: }}}}}}"
    file_write(tmp_path / "two.yaml", settings, f"broken: {body}\nrsi_macd_vwap: {body}\n")
    faulty = trader_find_or_create(kind="strategy", key="broken:coinbase_2018", now=now)
    noon = wall_of(NOON, now)
    assert strategies_run(now=noon) == [trader.pk]
    outcome = sync_due(now=noon, clock=still)
    assert (outcome.failed_ids, outcome.synced_ids) == ([faulty.pk], [trader.pk])
    faulty.refresh_from_db()
    assert faulty.last_error == "fault in the strategy: ZeroDivisionError: no volume"
    assert set(StrategySignal.objects.values_list("trader", flat=True)) == {trader.pk}
    with pytest.raises(RetryLater, match="ZeroDivisionError: no volume"):
        trader_preview(kind="strategy", key=faulty.key, now=noon)


def test_an_instrument_nobody_knows_yet_is_waited_for(trader: Trader, now: datetime) -> None:
    """Without the venue's rules of an instrument nothing of it is decided; with them, from the start on."""
    Mark.objects.filter(instrument="ETH").delete()
    Instrument.objects.filter(code="ETH").delete()
    advance(trader, NOON, now)
    assert {row[1] for row in kept()} == {"BTC"}
    instruments_ensure(instruments=recording_get(name=COINBASE_2018).instruments)
    advance(trader, NOON, now)
    assert {row[:3] for row in kept()} == {row[:3] for row in plain_book(NOON)[2]}


def test_the_newest_signal_of_each_instrument(trader: Trader, now: datetime) -> None:
    """What a card shows: one signal per instrument, by code."""
    assert signals_latest(trader_ids=[trader.pk]) == {}
    advance(trader, NOON, now)
    rows = signals_latest(trader_ids=[trader.pk])[trader.pk]
    assert [(row.at, row.code) for row in rows] == [(NOON, "BTC"), (NOON, "ETH")]


def test_signals_are_kept_for_ninety_days(trader: Trader, now: datetime) -> None:
    """SYN-6: older ones are pruned; the book stays."""
    advance(trader, START_AT + timedelta(minutes=30), now)
    StrategySignal.objects.filter(code="BTC").update(received_at=now - timedelta(days=90, seconds=1))
    assert sync_prune(now=now, batch=2)["signals"] == 6
    assert set(StrategySignal.objects.values_list("code", flat=True)) == {"ETH"}
    assert StrategyBook.objects.count() == 1


def test_the_database_keeps_its_promises(trader: Trader, now: datetime) -> None:
    """DESIGN: cash below zero, a half-open holding and a candle decided twice cannot be stored."""
    advance(trader, START_AT + CANDLE_SPAN, now)
    signal = StrategySignal.objects.filter(code="BTC").get()
    wrong = [
        lambda: StrategyBook.objects.update(cash=D("-0.00000001")),
        lambda: StrategyLeg.objects.update(quantity=1),
        lambda: StrategyLeg.objects.update(quantity=-1, entry_price=1, opened_at=now),
        lambda: StrategyLeg.objects.update(entry_price=1),
        lambda: StrategySignal(trader=trader, run=1, at=signal.at, code="BTC", side="BUY").save(),
    ]
    for change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    assert StrategyBook.objects.get().cash == D(10000)
