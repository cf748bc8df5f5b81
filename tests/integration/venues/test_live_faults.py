"""What a real venue's bad line and odd answers mean: nothing happened, or nobody knows, and never a guess."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from core.errors import BadAnswer, RateLimited, RetryLater, UnknownOutcome
from execution.accounts import CoinBalance
from execution.models import VenueSend
from execution.venues import live_venue_get, venue_get
from execution.venues.base import Accepted, CancelAnswer, OrderRef, Refused, VenueStatus
from execution.venues.live import sends_prune
from execution.venues.live_budget import BUDGETS
from execution.venues.live_line import POOL
from markets.domain.allowance import Allowance, BudgetPriority
from markets.exchanges import AccessRefused
from markets.models import LIVE, Instrument
from markets.services import marks_write, world_ensure
from tests.integration.venues.stands import ACCOUNT, LoopbackStand

pytestmark = pytest.mark.django_db
PERP, SPOT, HYPERLIQUID = ["binance-perp"], ["binance-spot"], ["hyperliquid"]
BINANCE = PERP + SPOT
AFTER_IT_WAS_DONE: list[dict[str, Any]] = [
    {"kind": "cut"},
    {"kind": "half"},
    {"kind": "nonsense"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 502, "body": "<html>bad gateway</html>"},
    {"kind": "status", "status": 503, "body": '{"code":-1000,"msg":"An unknown error occured"}'},
    {"kind": "status", "status": 200, "body": "{}"},
    {"kind": "status", "status": 200, "body": "[]"},
    {"kind": "status", "status": 200, "body": "null"},
]
BINANCE_UNKNOWN: list[dict[str, Any]] = [
    {"kind": "status", "status": 400, "body": '{"code":-1006,"msg":"Execution status unknown."}'},
    {"kind": "status", "status": 408, "body": '{"code":-1007,"msg":"Timeout waiting for response."}'},
]


def fault_id(fault: dict[str, Any]) -> str:
    return f"{fault['kind']}-{fault.get('status', '')}-{fault.get('body', '')[:14]}"


# ---------------------------------------------------------------- sending
@pytest.mark.parametrize("fault", AFTER_IT_WAS_DONE, ids=fault_id)
def test_after_a_sending_nothing_is_guessed(live: LoopbackStand, fault: dict[str, Any]) -> None:
    sending_unknown(live, fault)


@pytest.mark.parametrize("fault", BINANCE_UNKNOWN, ids=fault_id)
@pytest.mark.parametrize("live", BINANCE, indirect=True)
def test_codes_after_which_nobody_knows(live: LoopbackStand, fault: dict[str, Any]) -> None:
    sending_unknown(live, fault)


def sending_unknown(live: LoopbackStand, fault: dict[str, Any]) -> None:
    """Send an order, lose its answer in this way, and find that it is there once."""
    live.price("50000")
    request = live.request(limit="49000")
    live.exchange.fault(where=live.sends, **fault)
    with pytest.raises(UnknownOutcome):
        live.submit(request)
    report = live.fetch(request)
    assert report.status == VenueStatus.OPEN
    assert live.submit(request) == Accepted(venue_order_id=report.venue_order_id)
    assert live.taken(request.client_order_id) == 1


@pytest.mark.parametrize("fault", AFTER_IT_WAS_DONE[:6], ids=fault_id)
def test_after_a_cancel_nothing_is_guessed(live: LoopbackStand, fault: dict[str, Any]) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.submit(request)
    live.exchange.fault(where="cancelByCloid" if live.name == "hyperliquid" else "DELETE", **fault)
    with pytest.raises(UnknownOutcome):
        live.cancel(request)
    assert live.fetch(request).status == VenueStatus.CANCELLED
    assert live.cancel(request) == CancelAnswer.ALREADY_ENDED


@pytest.mark.parametrize("fault", AFTER_IT_WAS_DONE[:6], ids=fault_id)
def test_a_question_without_an_answer_may_be_asked_again(live: LoopbackStand, fault: dict[str, Any]) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.submit(request)
    where = "/info" if live.name == "hyperliquid" else "GET"
    questions: list[Any] = [
        lambda: live.fetch(request),
        lambda: live.venue.orders_open(account=ACCOUNT),
        lambda: live.venue.stops_armed(accounts=[ACCOUNT]),
        lambda: live.venue.fills_since(account=ACCOUNT, since=live.now - timedelta(minutes=1)),
        lambda: live.venue.account_look(account=ACCOUNT),
        lambda: live.venue.account_check(account=ACCOUNT),
    ]
    for ask in questions:
        live.exchange.fault(where=where, **fault)
        with pytest.raises(RetryLater):
            ask()
        assert live.exchange.faults == []
        ask()


def test_no_answer_in_time_is_not_known(live: LoopbackStand, monkeypatch: pytest.MonkeyPatch) -> None:
    live.price("50000")
    monkeypatch.setattr("markets.exchanges.REQUEST_TIMEOUT_S", 0.3)
    request = live.request(limit="49000")
    held = live.exchange.fault("timeout", where=live.sends)
    with pytest.raises(UnknownOutcome):
        live.submit(request)
    held.released.set()
    assert live.fetch(request).status == VenueStatus.OPEN


def test_a_venue_that_cannot_be_reached_did_nothing(live: LoopbackStand, settings: Any) -> None:
    request = live.request(limit="49000")
    live.venue.orders_open(account=ACCOUNT)
    POOL.close()
    settings.EXCHANGE_GATEWAY = "http://127.0.0.1:9"  # nobody listens there
    with pytest.raises(RetryLater):
        live.submit(request)
    assert not VenueSend.objects.exists()
    POOL.close()
    settings.EXCHANGE_GATEWAY = live.exchange.url
    assert isinstance(live.submit(request), Accepted)


@pytest.mark.parametrize(
    ("live", "status"),
    [("binance-perp", 429), ("binance-perp", 418), ("binance-spot", 429), ("hyperliquid", 429)],
    indirect=["live"],
)
def test_a_pause_that_is_asked_for_is_passed_on(live: LoopbackStand, status: int) -> None:
    live.price("50000")
    live.exchange.fault("refuse", where=live.sends, status=status, body="{}", headers={"Retry-After": "7"})
    with pytest.raises(RateLimited) as caught:
        live.submit(live.request(limit="49000"))
    assert caught.value.retry_after_s == (None if live.name == "hyperliquid" else 7)
    assert not VenueSend.objects.exists()


def test_clear_refusals_are_refusals(live: LoopbackStand) -> None:
    live.price("50000")
    too_much = live.request(quantity="60", limit="50000")
    answer = live.submit(too_much)
    assert isinstance(answer, Refused)
    assert "nsufficient" in answer.reason
    assert live.taken(too_much.client_order_id) == 0


def test_an_order_that_the_venue_forgets_is_not_known(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.exchange.fault("forget", where=live.sends)
    assert isinstance(live.submit(request), Accepted)
    with pytest.raises(RetryLater, match="may still arrive"):
        live.fetch(request)
    live.pass_time(9)
    assert live.fetch(request) is None


def test_an_order_that_shows_up_late_is_waited_for(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.exchange.books["hidden"].add(request.client_order_id)
    live.submit(request)
    with pytest.raises(RetryLater, match="may still arrive"):
        live.fetch(request)
    live.exchange.books["hidden"].clear()
    assert live.fetch(request).status == VenueStatus.OPEN


def test_fills_that_are_listed_twice_count_once(live: LoopbackStand) -> None:
    live.price("50000", depth="0.004")
    request = live.request(limit="50500")
    live.submit(request)
    live.price("50000", depth="1")
    live.exchange.books["twice"] = True
    report = live.fetch(request)
    assert [fill.quantity for fill in report.fills] == [D("0.004"), D("0.006")]
    since = live.now - timedelta(minutes=1)
    assert live.venue.fills_since(account=ACCOUNT, since=since) == list(report.fills)


def test_fills_are_complete_over_pages(live: LoopbackStand, monkeypatch: pytest.MonkeyPatch) -> None:
    live.exchange.books["page"] = 3
    monkeypatch.setattr("execution.venues.binance.PAGE", 3)
    monkeypatch.setattr("execution.venues.hyperliquid.FILLS_PAGE", 3)
    live.price("60000")
    request, other = live.request(quantity="0.01", limit="50500"), live.request(limit="50400")
    live.submit(request)
    live.submit(other)
    for number in range(10):
        live.price(str(50000 + number), depth="0.001")
    for fill in live.exchange.books.get("fills", []):
        fill["time"] -= 10 * (live.exchange.books["next"] - fill["tid"])  # not all in one millisecond
    live.price("50000")
    fills = live.venue.fills_since(account=ACCOUNT, since=live.now - timedelta(minutes=1))
    mine = [fill for fill in fills if fill.client_order_id == request.client_order_id]
    assert sorted(fill.price for fill in mine) == [D(50000 + number) for number in range(10)]
    assert live.fetch(request).status == VenueStatus.FILLED
    assert len(live.fetch(request).fills) == 10
    assert sum(fill.quantity for fill in fills) == D("0.02")


def test_an_end_without_its_fills_is_not_believed(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="50500")
    live.submit(request)
    told = live.exchange.books["fills" if live.name == "hyperliquid" else "trades"]
    kept, told[:] = list(told), []
    with pytest.raises(RetryLater, match="told 0 of it so far"):
        live.fetch(request)
    told[:] = kept
    assert live.fetch(request).filled_quantity == D("0.01")


@pytest.mark.parametrize("live", BINANCE, indirect=True)
@pytest.mark.parametrize("word", ["CANCELED", "REJECTED", "EXPIRED", "PENDING_NEW", "SOMETHING_NEW"])
def test_statuses_of_binance(live: LoopbackStand, word: str) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.submit(request)
    live.exchange.end(request.client_order_id, word)
    if word == "SOMETHING_NEW":
        with pytest.raises(BadAnswer, match="SOMETHING_NEW"):
            live.fetch(request)
        return
    wanted = {"CANCELED": "cancelled", "REJECTED": "rejected", "EXPIRED": "expired", "PENDING_NEW": "open"}
    assert live.fetch(request).status.value == wanted[word]


@pytest.mark.parametrize("live", HYPERLIQUID, indirect=True)
@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("marginCanceled", "cancelled"),
        ("selfTradeCanceled", "cancelled"),
        ("scheduledCancel", "cancelled"),
        ("tickRejected", "rejected"),
        ("perpMarginRejected", "rejected"),
        ("somethingNew", ""),
    ],
)
def test_statuses_of_hyperliquid(live: LoopbackStand, word: str, status: str) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.submit(request)
    live.exchange.end(request.client_order_id, word)
    if not status:
        with pytest.raises(BadAnswer, match="somethingNew"):
            live.fetch(request)
        return
    assert (live.fetch(request).status.value, live.fetch(request).reason) == (status, f"Hyperliquid: {word}")


# ---------------------------------------------------------------- clocks and keys
@pytest.mark.parametrize("skew_ms", [-4000, 4000, 90_000])
def test_a_clock_that_is_wrong_is_corrected(live: LoopbackStand, skew_ms: int) -> None:
    live.price("50000")
    live.exchange.books["skew_ms"] = skew_ms
    check = live.venue.account_check(account=ACCOUNT)
    assert any("clock is" in problem for problem in check.problems)
    request = live.request(limit="49000")
    assert isinstance(live.submit(request), Accepted)


def test_a_clock_that_jumps_is_measured_anew(live: LoopbackStand) -> None:
    live.price("50000")
    live.submit(live.request(limit="48000"))
    live.exchange.books["skew_ms"] = 30_000
    request = live.request(limit="49000")
    with pytest.raises(RetryLater, match=r"-1021|expired"):
        live.submit(request)
    assert live.taken(request.client_order_id) == 0
    assert isinstance(live.submit(request), Accepted)
    assert live.taken(request.client_order_id) == 1


def test_what_is_held_up_on_its_way_is_refused(live: LoopbackStand) -> None:
    """The venue's time runs past the order's before it arrives."""
    live.price("50000")
    live.submit(live.request(limit="48000"))
    live.exchange.books["skew_ms"] = 7000
    request = live.request(limit="49000")
    with pytest.raises(RetryLater):
        live.submit(request)
    assert live.taken(request.client_order_id) == 0


def test_a_key_that_is_not_accepted_says_so(live: LoopbackStand) -> None:
    if live.name == "hyperliquid":
        live.exchange.books["agents"] = {}
        check = live.venue.account_check(account=ACCOUNT)
        assert any("no API wallet" in problem for problem in check.problems)
        answer = live.submit(live.request(limit="49000"))
        assert isinstance(answer, Refused)
        assert "does not exist" in answer.reason
        return
    keys = replace(live.keys.keys, secret="not the secret")
    live.keys = live.live_keys(version="2", keys=keys)
    with pytest.raises(AccessRefused, match="-1022"):
        live.venue.orders_open(account=ACCOUNT)
    assert isinstance(live.submit(live.request(limit="49000")), Refused)


def test_no_error_shows_a_key(live: LoopbackStand) -> None:
    live.exchange.fault("cut", where=live.sends)
    with pytest.raises(UnknownOutcome) as caught:
        live.submit(live.request(limit="49000"))
    said = f"{caught.value} {caught.value.__cause__} {live.keys}"
    assert live.keys.keys.secret not in said
    assert "signature" not in said


# ---------------------------------------------------------------- budgets
def test_a_spent_budget_sends_nothing_and_leaves_room_for_exits(
    live: LoopbackStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.hold("0.02")
    small = Allowance(burst=40, rate=0.01)  # fills up too slowly to matter here
    monkeypatch.setattr("execution.venues.live_budget.address_limit", lambda bucket: small)
    BUDGETS.close()
    bucket = {"binance-perp": "binance:usdm", "binance-spot": "binance", "hyperliquid": "hyperliquid"}[
        live.name
    ]
    budget = BUDGETS.get(bucket=bucket, account="", allowance=small)
    assert budget is not None
    budget.take(37, max_wait_s=0.01, priority=BudgetPriority.EXIT)
    entry, exit_ = live.request(limit="49000"), live.request("SELL", "0.01", "49500", reduce_only=True)
    live.exchange.seen.clear()
    with pytest.raises(RateLimited):
        live.submit(entry)
    assert live.exchange.asked() == []
    assert isinstance(live.submit(exit_), Accepted)


@pytest.mark.parametrize("live", BINANCE, indirect=True)
def test_a_pause_holds_for_every_process(live: LoopbackStand) -> None:
    live.venue.orders_open(account=ACCOUNT)
    live.exchange.fault("refuse", where="openOrders", status=418, headers={"Retry-After": "120"})
    with pytest.raises(RateLimited):
        live.venue.orders_open(account=ACCOUNT)
    live.exchange.seen.clear()
    with pytest.raises(RateLimited):
        live.submit(live.request(limit="49000"))
    assert live.exchange.asked() == []


def test_exits_leave_without_a_budget(live: LoopbackStand, settings: Any) -> None:
    live.hold("0.02")
    BUDGETS.close()
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    live.exchange.seen.clear()
    with pytest.raises(RetryLater, match="budget"):
        live.submit(live.request(limit="49000"))
    assert live.exchange.asked() == []
    assert isinstance(live.submit(live.request("SELL", "0.01", "49500", reduce_only=True)), Accepted)


# ---------------------------------------------------------------- accounts
def test_what_an_account_holds(live: LoopbackStand) -> None:
    live.hold("0.02")
    look = live.venue.account_look(account=ACCOUNT)
    if live.policy == "spot":
        assert (look.positions, look.equity, look.position_mode) == ((), None, "")
        assert CoinBalance(coin="BTC", free=D("0.01998"), locked=D(0)) in look.balances
        assert CoinBalance(coin="USDT", free=D("99000"), locked=D(0)) in look.balances
        return
    (held,) = look.positions
    assert (held.instrument_code, held.quantity, held.entry_price) == ("BTC", D("0.02"), D(50000))
    assert (held.leverage, held.margin_mode, held.unrealized_pnl) == (D(20), "cross", D("1.5"))
    fee = D("0.45") if live.name == "hyperliquid" else D("0.5")
    assert (look.equity, look.position_mode) == (D(100000) - fee, "one_way")
    assert look.balances[0].free == D(99990) - fee
    assert look.balances[0].locked == D(10)


def test_a_good_account_has_no_problems(live: LoopbackStand) -> None:
    check = live.venue.account_check(account=ACCOUNT)
    assert (check.problems, check.notes) == ((), ())


@pytest.mark.parametrize("live", PERP, indirect=True)
def test_hedge_mode_is_refused(live: LoopbackStand) -> None:
    live.exchange.books["config"] |= {"dualSidePosition": True, "multiAssetsMargin": True}
    check = live.venue.account_check(account=ACCOUNT)
    assert check.problems == ("the account is in hedge mode; set its position mode to one-way",)
    assert "multi-assets mode is on" in check.notes[0]
    assert live.venue.account_look(account=ACCOUNT).position_mode == "hedge"


@pytest.mark.parametrize("live", BINANCE, indirect=True)
def test_an_account_that_may_not_trade_is_refused(live: LoopbackStand) -> None:
    live.exchange.books["config"]["canTrade"] = False
    check = live.venue.account_check(account=ACCOUNT)
    assert check.problems == ("Binance does not let this account trade",)


# ---------------------------------------------------------------- fees
def test_a_fee_in_the_coin_that_was_bought(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="50500")
    live.submit(request)
    (fill,) = live.fetch(request).fills
    if live.name == "binance-spot":  # 0.1 % of 0.01 BTC, worth 0.5 at 50,000
        assert (fill.fee, fill.fee_base_quantity, fill.fee_raw) == (D("0.5"), D("0.00001"), "0.00001 BTC")
    else:
        fee = D("0.225") if live.name == "hyperliquid" else D("0.25")
        assert (fill.fee, fill.fee_base_quantity, fill.fee_raw) == (fee, D(0), "")


@pytest.mark.parametrize("live", SPOT, indirect=True)
@pytest.mark.parametrize("priced", [True, False])
def test_a_fee_in_another_coin_counts_at_its_mark(live: LoopbackStand, priced: bool) -> None:
    if priced:
        Instrument.objects.create(
            code="BNB", underlying="BNB", quantity_step=D("0.001"), price_places=3, max_leverage=10
        )
        world = world_ensure(name=LIVE, now=live.now)
        marks_write(world=world, prices={"BNB": D(600)}, quoted_at=live.now, received_at=live.now)
    live.exchange.books["fee_coin"] = "BNB"
    live.price("50000")
    request = live.request(limit="50500")
    live.submit(request)
    (fill,) = live.fetch(request).fills
    assert fill.fee_base_quantity == 0
    if priced:
        assert (fill.fee, fill.fee_raw) == (D("0.0423"), "0.0000705 BNB")
    else:
        assert fill.fee == D("0.5")  # the market's taker fee of 0.1 %
        assert fill.fee_raw == "0.0000705 BNB, which has no price here: counted as the taker fee"


# ---------------------------------------------------------------- the rest
def test_what_was_sent_is_forgotten_in_the_end(live: LoopbackStand) -> None:
    live.price("50000")
    done, working = live.request(limit="50500"), live.request(limit="49000")
    live.submit(done)
    live.submit(working)
    live.fetch(done)
    live.fetch(working)
    assert sends_prune(before=live.now - timedelta(days=1)) == 0
    assert sends_prune(before=live.now + timedelta(days=1)) == 1
    assert VenueSend.objects.get().client_order_id == working.client_order_id


def test_an_account_of_another_venue_is_not_touched(live: LoopbackStand) -> None:
    live.keys = live.live_keys(venue="kraken")
    with pytest.raises(BadAnswer, match="is at kraken"):
        live.submit(live.request())
    assert live.exchange.asked() == []


def test_an_account_that_is_not_connected_has_no_keys(db: None) -> None:
    order = OrderRef(client_order_id="0x1", account="portfolio:1", instrument_code="BTC", policy="perp")
    with pytest.raises(AccessRefused, match="connected to no account"):
        live_venue_get(name="binance").order_fetch(order=order)
    with pytest.raises(LookupError, match="no venue 'nowhere'"):
        venue_get(name="nowhere")
