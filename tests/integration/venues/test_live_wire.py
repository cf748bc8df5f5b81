"""What goes over the line to real venues: our order first, to the last digit, and nothing else."""

import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from core.errors import RetryLater
from execution.client_ids import client_form, client_order_id_new, is_ours, venue_form
from execution.models import VenueSend
from execution.venues.base import Accepted, Refused, StopStatus
from execution.venues.live_line import POOL
from markets.models import VenueInstrument
from tests.integration.venues.stands import ACCOUNT, LoopbackStand, ref
from tests.loopback.venue_markets import HYPERLIQUID

pytestmark = pytest.mark.django_db


def test_the_first_signed_request_is_our_order(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    live.submit(request)
    (sent,) = live.sent()
    if live.name == "hyperliquid":
        body = sent.json
        assert sorted(body) == ["action", "expiresAfter", "nonce", "signature"]
        assert body["action"] == {
            "type": "order",
            "orders": [
                {
                    "a": 0,
                    "b": True,
                    "p": "49000",
                    "s": "0.01",
                    "r": False,
                    "t": {"limit": {"tif": "Gtc"}},
                    "c": request.client_order_id,
                }
            ],
            "grouping": "na",
        }
        assert "builder" not in sent.body
        assert abs(body["expiresAfter"] - request.valid_until.timestamp() * 1000) < 500  # by its own clock
        return
    params = sent.params
    for changing in ("timestamp", "signature"):
        del params[changing]
    assert 4000 < int(params.pop("recvWindow")) <= 5000
    assert params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01",
        "price": "49000",
        "newClientOrderId": request.client_order_id,
        "newOrderRespType": "ACK",
    }
    assert "referer" not in sent.headers


def test_nothing_is_signed_but_orders_cancels_and_stops(live: LoopbackStand) -> None:
    live.hold("0.02")
    request, stop = live.request(limit="49000"), live.stop()
    live.submit(request)
    live.venue.stop_place(request=stop, now=live.now)
    live.fetch(request)
    live.cancel(request)
    live.venue.stop_cancel(stop=ref(stop), now=live.now)
    live.venue.orders_open(account=ACCOUNT)
    live.venue.account_look(account=ACCOUNT)
    live.venue.account_check(account=ACCOUNT)
    if live.name == "hyperliquid":
        kinds = [seen.json["action"]["type"] for seen in live.sent()]
        assert kinds == ["order", "order", "order", "cancelByCloid", "cancelByCloid"]
        assert not any("builder" in seen.body or "setReferrer" in seen.body for seen in live.exchange.asked())
        return
    sent = [(seen.method, seen.path.rpartition("/")[2]) for seen in live.sent()]
    stops = "algoOrder" if live.policy == "perp" else "order"
    assert sent == [
        ("POST", "order"),
        ("POST", "order"),
        ("POST", stops),
        ("DELETE", "order"),
        ("DELETE", stops),
    ]


@pytest.mark.parametrize(
    ("quantity", "limit"), [("0.001", "123456.7"), ("0.012", "98765.4"), ("8.999", "50000.1"), ("1", "99999")]
)
def test_numbers_go_out_as_they_are(live: LoopbackStand, quantity: str, limit: str) -> None:
    spec = VenueInstrument.objects.get(quote=live.keys.quote).spec()
    price = spec.price(D(limit), up=False)
    request = live.request(quantity=quantity, limit=f"{price:f}")
    live.submit(request)
    (sent,) = live.sent()
    wire = sent.json["action"]["orders"][0] if live.name == "hyperliquid" else sent.params
    names = ("s", "p") if live.name == "hyperliquid" else ("quantity", "price")
    plain_price = f"{price:f}".rstrip("0").rstrip(".") if "." in f"{price:f}" else f"{price:f}"
    assert [wire[name] for name in names] == [quantity, plain_price]


DATA = Path(__file__).parent.parent.parent / "data" / "ccxt_cases"
CASES = json.loads((DATA / "createOrder_request_rounding.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case["input"][0])
def test_rounding_agrees_with_recorded_orders(case: dict[str, Any]) -> None:
    """Prices and sizes as ccxt writes them for the same wish, but never rounded up in size."""
    coin = case["input"][0].partition("/")[0]
    (size_decimals,) = (size for name, size, _ in HYPERLIQUID if name == coin)
    rule = VenueInstrument(
        quantity_step=D(1).scaleb(-size_decimals), price_places=6 - size_decimals, price_digits=5
    )
    spec = rule_spec(rule)
    assert D(case["p"]) in {spec.price(D(str(case["input"][4])), up=up) for up in (True, False)}
    down = spec.quantity(D(str(case["input"][3])))
    assert down in {D(case["s"]), D(case["s"]) - spec.quantity_step}


def rule_spec(rule: VenueInstrument) -> Any:
    """Return the spec of a rule that has no row."""
    from markets.models import Instrument

    rule.instrument = Instrument(code="X", underlying="X", quantity_step=1, price_places=1, max_leverage=5)
    rule.min_notional, rule.min_quantity = D(10), D(0)
    return rule.spec()


def test_a_market_order_ends_at_once(live: LoopbackStand) -> None:
    live.price("50000", depth="0.01")
    request = live.request(quantity="0.03", limit="52500", market=True)
    live.submit(request)
    report = live.fetch(request)
    assert (report.filled_quantity, report.status.value in {"cancelled", "expired"}) == (D("0.01"), True)
    (sent,) = live.sent()
    assert {
        "hyperliquid": '"tif":"Ioc"',
        "binance-spot": "timeInForce=IOC",
        "binance-perp": "type=MARKET",
    }[live.name] in sent.body.replace('": "', '":"')


def test_a_stop_reduces_only(live: LoopbackStand) -> None:
    live.hold("0.02")
    live.exchange.seen.clear()
    live.venue.stop_place(request=live.stop(trigger="45000"), now=live.now)
    (sent,) = live.sent()
    if live.name == "hyperliquid":
        order = sent.json["action"]["orders"][0]
        assert order["r"] is True
        assert order["t"] == {"trigger": {"isMarket": True, "triggerPx": "45000", "tpsl": "sl"}}
        assert (order["p"], order["b"]) == ("42750", False)
    elif live.name == "binance-perp":
        wanted = {
            "reduceOnly": "true",
            "type": "STOP_MARKET",
            "triggerPrice": "45000",
            "workingType": "MARK_PRICE",
            "side": "SELL",
        }
        assert wanted.items() <= sent.params.items()
    else:
        wanted = {"type": "STOP_LOSS_LIMIT", "stopPrice": "45000", "price": "42750", "side": "SELL"}
        assert wanted.items() <= sent.params.items()


def test_our_ids_are_known_again_and_others_are_not(live: LoopbackStand, settings: Any) -> None:
    live.price("60000")
    request = live.request(limit="49000")
    live.submit(request)
    if live.name == "hyperliquid":
        live.exchange.foreign("BTC", buy=True, size="0.05", price="40000")
    else:
        live.exchange.foreign(live.policy, "BTCUSDT", "BUY", "0.05", "40000")
    listed = live.venue.orders_open(account=ACCOUNT)
    assert [is_ours(order.client_order_id) for order in listed] == [True, False]
    assert listed[1].quantity == D("0.05")
    settings.INSTALLATION_KEY = "another server that trades on the same account"
    assert not is_ours(request.client_order_id)


@pytest.mark.parametrize("venue", ["binance", "hyperliquid", "kraken", "okx", "coinbase", "bybit"])
def test_ids_come_back_from_every_form(venue: str) -> None:
    ours = client_order_id_new()
    form = venue_form(client_order_id=ours, venue=venue)
    assert client_form(venue_id=form, venue=venue) == ours
    assert len(form) <= 36
    assert client_form(venue_id="web_123", venue=venue) == "web_123"
    assert not any(is_ours(name) for name in ("", "web_123", "0x", ours[:-1] + "z", ours[:-1], "é" * 34))


def test_a_coin_that_is_not_traded_there_is_refused(live: LoopbackStand) -> None:
    answer = live.submit(live.request(instrument_code="NOPE"))
    assert isinstance(answer, Refused)
    assert "no market for NOPE" in answer.reason
    assert live.exchange.asked() == []


def test_a_market_that_is_closed_takes_exits_alone(live: LoopbackStand) -> None:
    live.hold("0.02")
    VenueInstrument.objects.update(active=False)
    assert isinstance(live.submit(live.request(limit="49000")), Refused)
    assert isinstance(live.submit(live.request("SELL", "0.01", "49500", reduce_only=True)), Accepted)


def test_a_refusal_that_is_known_is_not_sent_again(live: LoopbackStand) -> None:
    request = live.request(quantity="0.0001", limit="10")
    first = live.submit(request)
    assert isinstance(first, Refused)
    assert live.submit(request) == first
    assert live.sent() == []
    assert VenueSend.objects.get().refused == first.reason


def test_a_key_that_is_exchanged_gets_a_new_client(live: LoopbackStand) -> None:
    live.venue.account_look(account=ACCOUNT)
    assert POOL.idle_count() == 1
    wrong = live.live_keys(version="2", keys=live.keys.keys.__class__(api_key="other", secret="55" * 32))
    old, live.keys = live.keys, wrong
    if live.name == "hyperliquid":
        assert live.venue.account_look(account=ACCOUNT).equity == 0  # another wallet, which holds nothing
    else:
        with pytest.raises(RetryLater, match="Invalid API-key"):
            live.venue.account_look(account=ACCOUNT)
    assert POOL.idle_count() == 1
    live.keys = old
    live.venue.account_look(account=ACCOUNT)
    assert POOL.idle_count() == 1


def test_idle_clients_are_bounded(live: LoopbackStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.venues.live_line.IDLE_CLIENTS", 2)
    for credential_id in range(4):
        live.keys = live.live_keys(credential_id=credential_id)
        live.venue.orders_open(account=ACCOUNT)
    assert POOL.idle_count() == 2


def test_a_stop_that_vanishes_is_told_as_gone(live: LoopbackStand) -> None:
    live.hold("0.02")
    stop = live.stop()
    live.venue.stop_place(request=stop, now=live.now)
    if live.name == "hyperliquid":
        live.exchange.end(stop.client_order_id)
    elif live.name == "binance-spot":
        live.exchange.end(stop.client_order_id, "EXPIRED")
    else:
        live.exchange.books["algos"][0]["algoStatus"] = "EXPIRED"
    assert live.venue.stop_fetch(stop=ref(stop)) == StopStatus.CANCELLED
    assert live.venue.stops_armed(accounts=[ACCOUNT]) == []
