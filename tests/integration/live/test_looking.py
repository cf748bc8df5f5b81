"""What the account holds beside ours is shown and never touched; what is missing is told (SPEC, money)."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from accounts.models import LiveAccount, LiveFinding, LiveHolding
from allocation.models import BreakerTrip, CapitalAccount
from core.errors import InputError
from engine.emergency import emergency_stop
from engine.live.looking import account_look_keep
from engine.live.settling import finding_settle
from engine.live.turn import account_turn
from engine.models import Decision
from engine.own_orders import position_close
from engine.recovery import portfolio_reconcile
from execution.models import Order, PaperHolding, PaperOrder, VenueOrphan
from execution.venues.base import OpenOrder
from execution.venues.paper_matching import paper_match
from positions.models import Position
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.live.stand import FarVenue, live_make
from tests.stateful.worlds import MadeUpWorld

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    settings.LIVE_TRADING = True


@pytest.fixture(params=["perp", "spot"])
def holding(request: Any, made_up: MadeUpWorld, alice: Any, far: FarVenue) -> Stage:
    """A live portfolio that holds 0.05 BTC of its own, in a spot and in a perpetuals account."""
    stage = stage_open(play=made_up, owner=alice, traders=1, policy=request.param)
    live_make(stage.portfolio, now=stage.play.now)
    far.beside = D(500)
    stage.hold(1, "BTC", "0.05")
    for _ in range(4):
        stage.cycle()
        work(stage)
    assert stage.held("BTC") == D("0.05")
    return stage


def work(stage: Stage, seconds: float = 2, times: int = 1) -> None:
    for _ in range(times):
        stage.play.pass_time(seconds=seconds)
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)


def look(stage: Stage, times: int = 2) -> list[LiveFinding]:
    """Look so often, each after the last fill has settled."""
    found: list[LiveFinding] = []
    for _ in range(times):
        stage.play.pass_time(seconds=20)
        found = account_look_keep(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    return found


def shown() -> list[tuple[str, str, D, D]]:
    return list(LiveHolding.objects.values_list("kind", "code", "quantity", "ours"))


def sold(far_account: str = "") -> D:
    return sum((order.filled_quantity for order in PaperOrder.objects.filter(side="SELL")), D(0))


@pytest.mark.parametrize("way", ["copy", "owner", "emergency"])
def test_no_exit_sells_what_is_not_ours(holding: Stage, far: FarVenue, way: str) -> None:
    """SPEC, money: 0.3 BTC and an ETH lie beside our 0.05; each way out sells exactly 0.05."""
    far.foreign = {"BTC": D("0.3"), "ETH": D(1)}
    assert look(holding) == []
    kind = "perp" if holding.portfolio.policy == "perp" else "coin"
    assert shown() == [(kind, "BTC", D("0.35"), D("0.05")), (kind, "ETH", D(1), D(0))]
    if way == "copy":
        holding.hold(1, "BTC", "0")
        holding.cycle()
    elif way == "owner":
        position = Position.objects.get(portfolio=holding.portfolio)
        position_close(
            portfolio=holding.portfolio, position_id=position.pk, fraction=D(1), market=True,
            command_id=None, origin="person", now=holding.play.now,
        )  # fmt: skip
    else:
        emergency_stop(portfolio_id=holding.portfolio.pk, by="alice", reason="", now=holding.play.now)
    work(holding, times=4)
    assert holding.held("BTC") == 0
    assert sold() == D("0.05")
    assert {order.underlying for order in Order.objects.all()} == {"BTC"}
    look(holding)
    assert shown() == [(kind, "BTC", D("0.3"), D(0)), (kind, "ETH", D(1), D(0))]


def test_foreign_orders_are_listed_and_never_cancelled(holding: Stage, far: FarVenue) -> None:
    """EXE-6: only orders that bear our own form of id can be orphans."""
    theirs = OpenOrder("web_abc", "77", "BTC", "SELL", D("0.1"), D(0))
    far.foreign_orders = [theirs]
    far.asked.clear()
    found = portfolio_reconcile(portfolio_id=holding.portfolio.pk, now=holding.play.now)
    look(holding, times=1)
    assert (found.orphans, VenueOrphan.objects.count()) == ((), 0)
    assert "cancel" not in far.asked
    row = LiveHolding.objects.get(kind="order")
    assert (row.code, row.text) == ("web_abc", "SELL 0.1 BTC")
    assert not BreakerTrip.objects.exists()


def test_a_foreign_perpetual_position_bars_entries_there(
    made_up: MadeUpWorld, alice: Any, far: FarVenue
) -> None:
    """SPEC, money: ours would net with it; other instruments are bought as ever."""
    stage = stage_open(play=made_up, owner=alice, traders=1)
    live_make(stage.portfolio, now=stage.play.now)
    far.foreign = {"BTC": D(1)}
    look(stage)
    stage.hold(1, "BTC", "0.05")
    stage.hold(1, "ETH", "0.5")
    for _ in range(3):
        stage.cycle()
        work(stage)
    assert (stage.held("BTC"), stage.held("ETH")) == (D(0), D("0.5"))
    reasons = Decision.objects.filter(underlying="BTC").values_list("reason", flat=True)
    assert any("a position of its own in it, which is not touched" in text for text in reasons)


def test_less_than_our_books_is_told_bars_entries_and_bounds_exits(holding: Stage, far: FarVenue) -> None:
    """SPEC, money: sold by hand to 0.02: a second look confirms, entries stop, the exit sells 0.02."""
    sell_by_hand(holding, "0.02")
    (first,) = look(holding, times=1)
    assert (first.kind, first.confirmed_at, BreakerTrip.objects.count()) == ("missing", None, 0)
    (finding,) = look(holding, times=1)
    assert (finding.books, finding.seen) == (D("0.05"), D("0.02"))
    assert finding.confirmed_at is not None
    assert BreakerTrip.objects.get().kind == "venue"
    position = Position.objects.get(portfolio=holding.portfolio)
    closing = position_close(
        portfolio=holding.portfolio, position_id=position.pk, fraction=D(1), market=True,
        command_id=None, origin="person", now=holding.play.now,
    )  # fmt: skip
    assert Order.objects.get(pk=closing.order_id).quantity == D("0.02")
    work(holding, times=4)
    assert (holding.held("BTC"), sold()) == (D("0.03"), D("0.02"))


def sell_by_hand(stage: Stage, left: str) -> None:
    PaperHolding.objects.filter(account=f"portfolio:{stage.portfolio.pk}").update(quantity=D(left))


def test_what_is_gone_is_booked_out_by_its_owner_alone(holding: Stage, far: FarVenue) -> None:
    """SPEC, money: at the present price, as an order of the owner's that nothing was sent for."""
    sell_by_hand(holding, "0.02")
    (finding,) = look(holding)
    sent = list(far.sent)
    cash = CapitalAccount.objects.get(pk=holding.portfolio.pk).cash
    said = finding_settle(
        portfolio=holding.portfolio, finding_id=finding.pk, way="gone", by="alice", now=holding.play.now
    )
    assert said == "0.03 BTC are booked out at 100000."
    assert holding.held("BTC") == D("0.02")
    assert holding.slices("BTC") == {1: D("0.02")}
    order = Order.objects.order_by("-pk")[0]
    assert (order.status, order.origin, order.filled_quantity) == ("filled", "person", D("0.03"))
    assert far.sent == sent
    assert (
        CapitalAccount.objects.get(pk=holding.portfolio.pk).cash != cash or holding.portfolio.policy == "perp"
    )
    assert look(holding) == []


def test_emergency_stop_goes_on_though_nothing_of_one_is_there(holding: Stage, far: FarVenue) -> None:
    """RSK-3: what is not there cannot be sold; it is said, and the rest is closed."""
    holding.hold(1, "ETH", "0.5")
    for _ in range(4):
        holding.cycle()
        work(holding)
    assert holding.held("ETH") > D("0.49")
    PaperHolding.objects.filter(instrument_code="BTC").update(quantity=0)
    look(holding)
    answer = emergency_stop(portfolio_id=holding.portfolio.pk, by="alice", reason="", now=holding.play.now)
    assert any("shows nothing of the 0.05" in text for text in answer.left)
    work(holding, times=4)
    assert (holding.held("ETH"), holding.held("BTC")) == (D(0), D("0.05"))


def test_cash_that_came_is_a_finding_until_its_owner_says_what_it_is(holding: Stage, far: FarVenue) -> None:
    """SPEC, money: never booked by itself; as a deposit it buys units, as somebody else's it stays aside."""
    assert look(holding) == []
    assert LiveAccount.objects.get().elsewhere == D(500)
    before = CapitalAccount.objects.get(pk=holding.portfolio.pk)
    far.beside = D(750)
    (finding,) = look(holding)
    assert (finding.kind, finding.seen - finding.books) == ("cash_came", D(250))
    assert CapitalAccount.objects.get(pk=holding.portfolio.pk).cash == before.cash
    assert not BreakerTrip.objects.exists()
    finding_settle(
        portfolio=holding.portfolio, finding_id=finding.pk, way="flow", by="alice", now=holding.play.now
    )
    after = CapitalAccount.objects.get(pk=holding.portfolio.pk)
    assert (after.cash - before.cash, after.deposits_net - before.deposits_net) == (D(250), D(250))
    far.beside = D(500)
    assert look(holding) == []
    far.beside = D(800)
    (finding,) = look(holding)
    finding_settle(
        portfolio=holding.portfolio, finding_id=finding.pk, way="elsewhere", by="alice", now=holding.play.now
    )
    assert look(holding) == []
    assert LiveAccount.objects.get().elsewhere == D(800)
    assert CapitalAccount.objects.get(pk=holding.portfolio.pk).cash == after.cash


def test_cash_of_ours_that_is_missing_stops_entries(holding: Stage, far: FarVenue) -> None:
    """SPEC, money: what lay beside may go; into ours it is a withdrawal that somebody has to name."""
    look(holding)
    far.beside = D(100)
    (finding,) = look(holding)
    assert (finding.kind, BreakerTrip.objects.count()) == ("cash_left", 0)
    far.beside = D(-300)
    found = look(holding)
    (finding,) = [one for one in found if one.kind == "cash_missing"]
    assert finding.books - finding.seen == D(300)
    assert BreakerTrip.objects.get().kind == "venue"
    before = CapitalAccount.objects.get(pk=holding.portfolio.pk).cash
    with pytest.raises(InputError, match="cannot be settled like that"):
        finding_settle(
            portfolio=holding.portfolio, finding_id=finding.pk, way="gone", by="x", now=holding.play.now
        )
    finding_settle(
        portfolio=holding.portfolio, finding_id=finding.pk, way="flow", by="alice", now=holding.play.now
    )
    far.beside = D(0)
    assert CapitalAccount.objects.get(pk=holding.portfolio.pk).cash == before - 300
    assert look(holding) == []


def test_a_difference_that_goes_by_itself_trips_nothing(holding: Stage, far: FarVenue) -> None:
    """SPEC, money: one look may come between a fill and the venue's own list."""
    sell_by_hand(holding, "0.02")
    look(holding, times=1)
    sell_by_hand(holding, "0.05")
    assert look(holding, times=1) == []
    assert LiveFinding.objects.get().settled_how == "The account agrees with our books again"
    assert not BreakerTrip.objects.exists()
