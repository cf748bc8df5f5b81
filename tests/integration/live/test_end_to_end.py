"""One life on Binance's own wire: key, shadow, live, copied trades, the owner's own coins, stop (EXE-5)."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from accounts.models import Credential, LiveAccount, LiveHolding
from accounts.sealing import AccountKeys, keys_seal
from allocation.models import CapitalAccount
from core.clock import utc_now
from engine.commands import command_accept, command_run
from engine.live.turn import account_turn
from engine.models import Command
from engine.order_life import orders_work
from execution.models import Fill, Order, VenueOrphan
from execution.venues.paper_matching import paper_match
from positions.audit import books_audit
from positions.models import Position
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.venues.conftest import _clients_closed, binance_exchange
from tests.loopback.binance_exchange import API_KEY, SECRET, BinanceExchange
from tests.stateful.worlds import MadeUpWorld, ScriptedSource
from traders.reading import read_loop_close

__all__ = ["_clients_closed", "binance_exchange"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_clients_closed")]
OWN = D("0.3")  # bitcoin that the owner has there beside the portfolio


@pytest.fixture
def stage(
    db: None, alice: Any, binance_exchange: BinanceExchange, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A spot portfolio that follows one trader, at the time of the machine, since the wire bears it."""
    binance_exchange.reset()
    settings.EXCHANGE_GATEWAY = binance_exchange.url
    settings.LIVE_TRADING = True
    monkeypatch.setattr("engine.live.gate.second_factor_active", lambda *, user: True)
    monkeypatch.setattr("engine.live.gate.email_verified", lambda *, user: True)
    play, source = MadeUpWorld(now=utc_now()), ScriptedSource()
    source.play = play
    read_loop_close()
    monkeypatch.setattr("traders.reading.source_make", lambda *, kind: source)
    binance_exchange.books["coins"]["BTC"] = OWN
    binance_exchange.price("spot", "BTCUSDT", "100000")
    yield stage_open(play=play, owner=alice, traders=1, policy="spot")
    read_loop_close()


def second(stage: Stage, exchange: BinanceExchange, times: int = 1) -> None:
    """Let seconds pass: cycle, orders on paper and at the exchange, which meets what waits."""
    for _ in range(times):
        stage.play.pass_time(seconds=2)
        stage.cycle()
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        orders_work(now=stage.play.now)
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)
        exchange.price("spot", "BTCUSDT", "100000")


def ask(stage: Stage, exchange: BinanceExchange, kind: str, **data: Any) -> Command:
    command = command_accept(
        portfolio=stage.portfolio, kind=kind, data=data, key=f"key {Command.objects.count()}",
        asked_by=stage.portfolio.owner, via="page", now=stage.play.now,
    )  # fmt: skip
    for _ in range(8):
        if command_run(command_id=command.pk, now=stage.play.now) not in ("accepted", "running"):
            break
        second(stage, exchange)
    command.refresh_from_db()
    stage.portfolio.refresh_from_db()
    assert command.status == "done", command.answer
    return command


def coins(exchange: BinanceExchange, coin: str) -> D:
    amount: D = exchange.books["coins"].get(coin, D(0))
    return amount


def test_a_life_on_binances_wire(stage: Stage, binance_exchange: BinanceExchange) -> None:
    """EXE-5, BEY-8: copied, filled with the fee kept in coins, sold, stopped; the rest is as it was."""
    exchange = binance_exchange
    key = Credential.objects.create(
        owner=stage.portfolio.owner, purpose="trade", venue="binance", sandbox=True, name="Demo", mask="l",
        sealed=keys_seal(keys=AccountKeys(api_key=API_KEY, secret=SECRET)), account_id="1",
        permissions=["read", "trade"], checked_at=stage.play.now,
    )  # fmt: skip
    ask(stage, exchange, "live_connect", credential_id=key.pk, assigned="10000")
    account = LiveAccount.objects.get()
    assert (account.state, account.quote, account.problems) == ("shadow", "USDT", [])
    stage.hold(1, "BTC", "0.05")
    second(stage, exchange, times=4)
    assert stage.held("BTC") > 0
    assert exchange.books["orders"] == []  # the shadow orders nothing

    ask(stage, exchange, "live_promote", confirm=stage.portfolio.name, shortened="It is a sandbox")
    foreign = exchange.foreign("spot", "BTCUSDT", "SELL", "0.01", "150000")
    stage.hold(1, "BTC", "0.06")
    second(stage, exchange, times=5)
    position = Position.objects.exclude(status="closed").get(portfolio=stage.portfolio)
    order = Order.objects.get(venue="binance")
    fill = Fill.objects.get(order=order)
    assert (order.status, order.side, exchange.orders(order.client_order_id)) == ("filled", "BUY", 1)
    assert fill.fee_quantity == order.quantity * D("0.001")
    assert order.quantity - fill.fee_quantity - D("0.00001") < position.quantity <= order.quantity
    assert position.quantity % D("0.00001") == 0
    assert coins(exchange, "BTC") == OWN + order.quantity - fill.fee_quantity
    capital = CapitalAccount.objects.get(pk=stage.portfolio.pk)
    assert capital.cash + position.cost == D(10000)

    stage.play.pass_time(seconds=70)
    second(stage, exchange)
    shown = {row.code: (row.kind, row.ours) for row in LiveHolding.objects.all()}
    assert shown["BTC"] == ("coin", position.quantity)
    assert shown[foreign][0] == "order"
    assert not account.findings.exists()
    assert not VenueOrphan.objects.exists()

    ask(stage, exchange, "live_stop", confirm=stage.portfolio.name)
    account.refresh_from_db()
    assert account.state == "stopped"
    sold = Order.objects.get(venue="binance", side="SELL")
    assert (sold.quantity, sold.status) == (position.quantity, "filled")
    assert OWN <= coins(exchange, "BTC") < OWN + D("0.00001")
    theirs = exchange.order(foreign)
    assert theirs is not None
    assert theirs["status"] == "NEW"
    assert books_audit(portfolio_id=stage.portfolio.pk) == []
    changes = [seen for seen in exchange.asked() if seen.method != "GET"]
    assert {seen.method for seen in changes} <= {"POST", "DELETE"}
    assert all("broker" not in (seen.body + seen.query).lower() for seen in changes)
