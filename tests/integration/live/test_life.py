"""From paper to a real account and back: connect, shadow, promote, ramp, stop (EXE-5, BEY-8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import override_settings

from accounts.models import AuditEntry, Credential, LiveAccount, Portfolio
from accounts.second_factor import email_verified, second_factor_active
from allocation.models import CapitalAccount, LedgerEntry
from core.errors import InputError
from engine.commands import command_accept, command_run
from engine.live.life import live_disconnect
from engine.live.turn import account_turn
from engine.models import Command
from engine.order_life import orders_work
from execution.client_ids import client_order_id_new
from execution.models import Order
from execution.venues.paper_matching import paper_match
from positions.audit import books_audit
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.live.stand import FAR, FarVenue, key_make, live_make, rules_make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allowed(settings: Any, far: FarVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server trades live, everybody has a second factor, and more cash is there than is assigned."""
    far.beside = D(1000)
    settings.LIVE_TRADING = True
    monkeypatch.setattr("engine.live.gate.second_factor_active", lambda *, user: True)
    monkeypatch.setattr("engine.live.gate.email_verified", lambda *, user: True)


def ask(stage: Stage, kind: str, *, runs: int = 12, by: Any = None, **data: Any) -> Command:
    """Ask for a command as the owner and let it run, a second at a time."""
    command = command_accept(
        portfolio=stage.portfolio,
        kind=kind,
        data=data,
        key=f"{kind} {Command.objects.count()}",
        asked_by=by or stage.portfolio.owner,
        via="page",
        now=stage.play.now,
    )
    for _ in range(runs):
        if command_run(command_id=command.pk, now=stage.play.now) not in ("accepted", "running"):
            break
        stage.play.pass_time(seconds=1)
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        orders_work(now=stage.play.now)
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    command.refresh_from_db()
    stage.portfolio.refresh_from_db()
    return command


def connect(stage: Stage, *, assigned: str = "5000", **key: Any) -> Command:
    credential = key_make(stage.portfolio.owner, **key)
    rules_make(policy=stage.portfolio.policy, sandbox=credential.sandbox)
    return ask(stage, "live_connect", credential_id=credential.pk, assigned=assigned)


def promote(stage: Stage, **data: Any) -> Command:
    return ask(stage, "live_promote", confirm=stage.portfolio.name, **data)


def cash(stage: Stage) -> D:
    return CapitalAccount.objects.get(pk=stage.portfolio.pk).cash


def test_from_paper_to_live_and_to_a_stop(stage: Stage, far: FarVenue) -> None:
    """BEY-8: shadow with the assigned cash, a flat start live, two positions at most, a stop that closes."""
    command = connect(stage)
    assert command.status == "done", command.answer
    account = LiveAccount.objects.get()
    assert (account.state, account.venue, account.quote, cash(stage)) == ("shadow", FAR, "USDT", D(5000))
    stage.hold(1, "BTC", "0.05")
    stage.settle(steps=4)
    shadow = stage.held("BTC")
    assert shadow == D("0.025")
    assert far.sent == []

    stage.play.pass_time(seconds=24 * 3600)
    stage.sync()
    assert promote(stage).status == "done"
    account.refresh_from_db()
    assert (account.state, account.max_positions, account.confirmed_by) == ("live", 2, "alice@example.com")
    assert (stage.portfolio.mode, cash(stage), stage.held("BTC")) == ("live", D(5000), D(0))
    sold = Order.objects.get(purpose="liquidation")
    assert (sold.venue, sold.quantity, far.sent) == ("paper", shadow, [])
    assert LedgerEntry.objects.filter(kind="reset").count() == 2
    assert books_audit(portfolio_id=stage.portfolio.pk) == []

    for code in ("BTC", "ETH", "DOGE"):
        stage.hold(1, code, {"BTC": "0.06", "ETH": "0.5", "DOGE": "9000"}[code])
    for _ in range(6):
        stage.cycle()
        stage.play.pass_time(seconds=2)
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    held = [code for code in ("BTC", "ETH", "DOGE") if stage.held(code)]
    assert len(held) == 2
    assert {order.venue for order in Order.objects.filter(pk__gt=sold.pk)} == {FAR}
    assert any("live trading begins with 2 positions" in text for text in reasons(stage))

    command = ask(stage, "live_stop", confirm=stage.portfolio.name)
    assert command.status == "done", command.answer
    account.refresh_from_db()
    assert (account.state, [stage.held(code) for code in held]) == ("stopped", [0, 0])
    stage.hold(1, "BTC", "0.2")
    before = Order.objects.count()
    stage.cycle()
    assert Order.objects.count() == before
    actions = AuditEntry.objects.filter(outcome="done").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["live.connect", "live.promote", "live.stop"]


def reasons(stage: Stage) -> list[str]:
    return list(stage.portfolio.decisions.values_list("reason", flat=True))


def shorten(change: dict[str, Any]) -> dict[str, Any]:
    return {"shortened": "I know these traders", **change}


def _revoke(stage: Stage, far: FarVenue) -> None:
    Credential.objects.update(check_error="It may withdraw")


def _hedge(stage: Stage, far: FarVenue) -> None:
    far.problems = ("Hedge mode is on; switch to one-way.",)


def _poor(stage: Stage, far: FarVenue) -> None:
    far.beside = D(-100)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda stage, far: None, ""),
        (_revoke, "It may withdraw"),
        (_hedge, "Hedge mode"),
        (_poor, "are assigned, and only 4"),
    ],
)
def test_the_gate_refuses_and_leaves_it_in_shadow(
    stage: Stage, far: FarVenue, spoil: Callable[[Stage, FarVenue], None], says: str
) -> None:
    """BEY-8: one thing missing is enough, and nothing was sold for it."""
    connect(stage)
    stage.hold(1, "BTC", "0.05")
    stage.settle(steps=4)
    spoil(stage, far)
    command = promote(stage, shortened="I know these traders")
    account = LiveAccount.objects.get()
    if not says:
        assert (command.status, account.state) == ("done", "live")
        assert account.shadow_shortened == "I know these traders"
        return
    assert (command.status, account.state, stage.portfolio.mode) == ("refused", "shadow", "paper")
    assert says in command.answer
    assert stage.held("BTC") == D("0.025")


@override_settings(LIVE_TRADING=False)
def test_a_server_that_does_not_trade_live(stage: Stage, far: FarVenue) -> None:
    """CFG-1: the server's own switch."""
    connect(stage)
    assert "LIVE_TRADING" in promote(stage, shortened="now").answer


def test_without_a_second_factor(stage: Stage, far: FarVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-1: signing in with a password alone is not enough."""
    monkeypatch.setattr("engine.live.gate.second_factor_active", lambda *, user: False)
    connect(stage)
    assert "second factor" in promote(stage, shortened="now").answer


def test_a_real_second_factor_and_a_verified_address_open_the_gate(
    stage: Stage, far: FarVenue, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-1: as a person has them, with nothing pretended."""
    monkeypatch.setattr("engine.live.gate.second_factor_active", second_factor_active)
    monkeypatch.setattr("engine.live.gate.email_verified", email_verified)
    connect(stage)
    refused = promote(stage, shortened="now").answer
    assert "Set up a second factor" in refused
    assert "Verify your e-mail address" in refused
    TOTP.activate(alice, generate_totp_secret())
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    command = promote(stage, shortened="now")
    assert command.status == "done", command.answer
    assert LiveAccount.objects.get().state == "live"


def test_real_money_needs_the_sandbox_first(
    stage: Stage, far: FarVenue, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SPEC, money: one order filled and one cancelled there, by the same person."""
    monkeypatch.setattr("engine.live.gate.sandbox_exists", lambda *, venue: True)
    connect(stage, sandbox=False)
    assert "test environment first" in promote(stage, shortened="now").answer
    practice = stage_open(play=stage.play, owner=alice, traders=1, name="Practice")
    live_make(practice.portfolio, now=stage.play.now, account_id="practice")
    practice.hold(1, "BTC", "0.05")
    practice.cycle()
    filled_make(practice, 1)
    assert "filled (done)" in promote(stage, shortened="now").answer
    made = Order.objects.filter(portfolio=practice.portfolio).order_by("pk")[0]
    made.pk, made.client_order_id, made.status = None, "0x" + "1" * 32, "cancelled"
    made.reservation, made.committed, made.filled_quantity = None, D(0), D(0)
    made.save()
    assert promote(stage, shortened="now").status == "done"


def test_the_name_is_typed(stage: Stage, far: FarVenue) -> None:
    """EXE-5: another name promotes nothing."""
    connect(stage)
    with pytest.raises(InputError, match="Type the portfolio's name"):
        ask(stage, "live_promote", confirm="Something else", shortened="now")
    assert LiveAccount.objects.get().state == "shadow"


def test_an_account_serves_one_portfolio(stage: Stage, far: FarVenue, alice: Any) -> None:
    """SPEC, money: the second is refused in words, and keeps its paper cash."""
    connect(stage)
    other = stage_open(play=stage.play, owner=alice, traders=1, name="Other")
    command = ask(other, "live_connect", credential_id=Credential.objects.get().pk, assigned="100")
    assert command.status == "refused"
    assert "serves another portfolio" in command.answer
    assert cash(other) == D(10000)


def test_what_cannot_be_connected(stage: Stage, far: FarVenue, charlie: Any) -> None:
    """SEC-1: somebody else's key is not there; a key that only reads, and open positions, are refused."""
    foreign = key_make(charlie)
    with pytest.raises(InputError, match="no trading key"):
        ask(stage, "live_connect", credential_id=foreign.pk, assigned="1")
    stage.hold(1, "BTC", "0.05")
    stage.settle(steps=4)
    command = connect(stage)
    assert "Nothing may be open" in command.answer
    assert not LiveAccount.objects.exists()
    assert cash(stage) < D(10000)


def test_more_than_is_free_is_not_assigned(stage: Stage, far: FarVenue) -> None:
    """SPEC, money: assigned ≤ free at the venue."""
    far.beside = D(-1000)
    command = connect(stage, assigned="5000")
    assert (command.status, "4000 USDT free" in command.answer) == ("refused", True)
    assert LiveAccount.objects.get().state == "stopped"
    assert Portfolio.objects.get(pk=stage.portfolio.pk).mode == "paper"


def test_disconnecting_is_paper_again(stage: Stage, far: FarVenue) -> None:
    """BEY-8: the shadow's book goes on by paper's own rules; what is live has to be stopped first."""
    connect(stage)
    assert ask(stage, "live_disconnect").status == "done"
    stage.hold(1, "BTC", "0.0447")
    stage.settle(steps=4)
    assert Order.objects.get().quantity == D("0.02235")
    LiveAccount.objects.update(state="live", confirmed_at=stage.play.now, promoted_at=stage.play.now)
    with pytest.raises(InputError, match="Stop it first"):
        live_disconnect(portfolio=stage.portfolio, now=stage.play.now)


def test_the_ramp_is_raised_by_a_person_one_step_at_a_time(stage: Stage, far: FarVenue) -> None:
    """SPEC, money: after three days and five filled orders, each time."""
    account = live_make(stage.portfolio, now=stage.play.now, max_positions=2)
    assert "of 3 days" in ask(stage, "live_ramp", confirm=stage.portfolio.name).answer
    stage.hold(1, "BTC", "0.05")
    stage.cycle()
    seen = []
    for _ in range(3):
        stage.play.pass_time(seconds=3 * 86400 + 60)
        assert "of 5 orders" in ask(stage, "live_ramp", confirm=stage.portfolio.name).answer
        filled_make(stage, 5)
        command = ask(stage, "live_ramp", confirm=stage.portfolio.name)
        assert command.status == "done", command.answer
        account.refresh_from_db()
        seen.append((account.max_positions, account.ramped_by))
        assert ask(stage, "live_ramp", confirm=stage.portfolio.name).status == "refused"
    assert seen == [(step, "alice@example.com") for step in (3, 5, None)]


def filled_make(stage: Stage, count: int) -> None:
    """Let so many orders have been filled just now."""
    order = Order.objects.filter(portfolio=stage.portfolio).order_by("pk").first()
    assert order is not None
    for _ in range(count):
        order.pk, order.client_order_id, order.reservation = None, client_order_id_new(), None
        order.status, order.finished_at, order.committed = "filled", stage.play.now, D(0)
        order.filled_quantity = order.quantity
        order.save()


def test_live_trading_switched_off_bars_entries_and_not_exits(
    stage: Stage, far: FarVenue, settings: Any
) -> None:
    """CFG-1: nothing is bought, and what is held can be sold."""
    live_make(stage.portfolio, now=stage.play.now)
    stage.hold(1, "BTC", "0.05")
    for _ in range(3):
        stage.cycle()
        stage.play.pass_time(seconds=2)
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    assert stage.held("BTC") == D("0.05")
    settings.LIVE_TRADING = False
    stage.hold(1, "ETH", "1")
    stage.hold(1, "BTC", "0")
    for _ in range(4):
        stage.cycle()
        stage.play.pass_time(seconds=2)
        paper_match(world="live", now=stage.play.now, clock=stage.play.world.clock())
        account_turn(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    assert (stage.held("ETH"), stage.held("BTC")) == (0, 0)
    assert not Order.objects.filter(underlying="ETH").exists()


def test_the_shadow_is_measured_from_its_beginning(stage: Stage, far: FarVenue) -> None:
    """BEY-8: a day, or a reason that is kept."""
    connect(stage)
    LiveAccount.objects.update(shadow_since=stage.play.now - timedelta(hours=23))
    assert "23.0 of 24.0 h" in promote(stage).answer
