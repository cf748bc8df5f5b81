"""Recovery: whatever a crash left, books and venue agree afterwards; none doubled, none orphaned (EXE-6)."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal as D
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Portfolio
from core.errors import RetryLater
from engine.gather import cycle_gather
from engine.models import CycleState, Decision
from engine.recovery import Reconciled, portfolio_reconcile, portfolios_reconcile, recovery_go_on
from execution import orders as execution
from execution.models import Fill, Order, PaperHolding, PaperOrder, VenueOrphan
from execution.orders import entries_bar, order_claim_submit, order_request, order_submit
from execution.venues.paper import PaperVenue
from execution.venues.paper_faults import fault_tell
from positions.audit import books_audit
from positions.models import Position
from positions.services import order_sync
from tests.integration.money.desk import NOW, Desk, desk_open
from tests.replaying import ReplayDriver

pytestmark = pytest.mark.django_db
GROK = "grok-4"


@pytest.fixture
def desk() -> Desk:
    opened = desk_open(policy="perp")
    opened.mark("100000")
    Portfolio.objects.update(created_at=NOW)
    CycleState.objects.create(portfolio=opened.portfolio)
    return opened


def sent(desk: Desk, quantity: str = "0.01") -> Order:
    order = desk.order("BUY", quantity, "100100")
    order_submit(order_id=order.pk, now=desk.now)
    return order


def matched(desk: Desk) -> list[str]:
    desk.later()
    desk.mark("100000")
    return desk.match()


def recover(desk: Desk) -> Reconciled:
    return portfolio_reconcile(portfolio_id=desk.pk, now=desk.now)


def at_the_venue(desk: Desk, quantity: str = "0.01") -> str:
    """Have an order at the venue that our books do not know; return its client id."""
    ours = desk.order("BUY", quantity, "100100")
    request = replace(order_request(order=ours), client_order_id=f"0x{'f' * 32}")
    execution.order_cancel(order_id=ours.pk, now=desk.now)
    PaperVenue().order_submit(request=request, now=desk.now)
    return request.client_order_id


def test_nothing_to_settle_is_clean(desk: Desk) -> None:
    """EXE-6: a working order of which both say the same is not even asked about."""
    order = sent(desk)
    assert recover(desk) == Reconciled(portfolio_id=desk.pk)
    assert CycleState.objects.get().reconciled_at == desk.now
    order.refresh_from_db()
    assert order.status == "submitted"


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "never arrived"])
def test_a_worker_that_died_after_claiming(desk: Desk, arrived: bool) -> None:
    """EXE-6: entries are barred until the venue has told, and then it is working, or given back."""
    order = desk.order("BUY", "0.01", "100100")
    assert order_claim_submit(order_id=order.pk, now=desk.now)
    order.refresh_from_db()
    if arrived:
        PaperVenue().order_submit(request=order_request(order=order), now=desk.now)
    assert entries_bar(portfolio_id=desk.pk, now=desk.later(9)) == ""
    bar = f"the outcome of order {order.pk} (Buy 0.01 BTC) is not known; paper is being asked"
    assert entries_bar(portfolio_id=desk.pk, now=desk.later(1)) == bar
    found = recover(desk)
    order.refresh_from_db()
    if arrived:
        assert (order.status, found.unsettled, found.asked) == ("submitted", (), (order.pk,))
        assert entries_bar(portfolio_id=desk.pk, now=desk.now) == ""
        return
    assert (order.status, found.unsettled, found.clean) == ("unknown", (order.pk,), False)
    assert entries_bar(portfolio_id=desk.pk, now=desk.now) == bar
    desk.later(60)
    assert recover(desk).clean
    order.refresh_from_db()
    assert (order.status, entries_bar(portfolio_id=desk.pk, now=desk.now)) == ("rejected", "")


def test_the_copy_cycle_is_told_of_the_bar(arena: ReplayDriver, alice: Any) -> None:
    """EXE-6: gathering says why nothing is opened."""
    portfolio = arena.portfolio(alice, name="bar", keys=(GROK,), policy="perp")
    arena.forward(20)
    arena.observe((GROK,))
    fault_tell(operation="submit", kind="timeout_before")
    arena.act()
    order = Order.objects.get(portfolio=portfolio, status="unknown")
    cycle = CycleState.objects.select_related("portfolio").get(portfolio=portfolio)
    gathered = cycle_gather(cycle=cycle, world=arena.world, now=arena.wall_at)
    assert gathered.inputs.entries_blocked.startswith(f"the outcome of order {order.pk} (")


def test_a_fill_of_an_order_that_ended_here_is_found_and_booked(desk: Desk) -> None:
    """EXE-3, EXE-6: executed, cancelled, told late: only the account's fills tell of it."""
    order = sent(desk)
    fault_tell(operation="match", kind="late", delay_s=20)
    matched(desk)
    execution.order_cancel(order_id=order.pk, now=desk.now)
    order_sync(order_id=order.pk, now=desk.now)
    assert recover(desk).clean
    desk.later(20)
    desk.match()
    found = recover(desk)
    assert (found.missed_fills, found.asked) == (1, (order.pk,))
    order.refresh_from_db()
    assert (order.status, order.filled_quantity) == ("filled", D("0.01"))
    assert Position.objects.get().quantity == D("0.01")
    assert Decision.objects.get(kind="fill").text == "Bought 0.01 BTC at 100013"
    assert recover(desk).clean, "booked once"
    assert books_audit() == []


def test_fills_are_looked_for_as_far_back_as_nobody_looked(desk: Desk) -> None:
    """EXE-6: two days down: what was filled meanwhile is found; else ten minutes suffice."""
    order = sent(desk)
    recover(desk)
    matched(desk)
    Order.objects.update(status="cancelled", committed=0)  # as if an older copy of our books was restored
    desk.later(2 * 86400)
    assert recover(desk).missed_fills == 1
    order.refresh_from_db()
    assert order.status == "filled"


def test_an_order_given_up_for_lost_that_works_is_adopted(desk: Desk) -> None:
    """EXE-6: our guess was wrong, the venue has it: it lives again."""
    order = sent(desk)
    execution_order = Order.objects.get(pk=order.pk)
    execution.order_status_change(order=execution_order, to="rejected", now=desk.now)
    found = recover(desk)
    assert (found.asked, found.strays) == ((order.pk,), ())
    order.refresh_from_db()
    assert order.status == "submitted"


def test_an_order_that_ended_here_and_works_there_is_cancelled_there(desk: Desk) -> None:
    """EXE-6: the venue forgot that it was cancelled."""
    order = sent(desk)
    execution.order_cancel(order_id=order.pk, now=desk.now)
    order_sync(order_id=order.pk, now=desk.now)
    PaperOrder.objects.update(status="open")
    found = recover(desk)
    assert (found.strays, found.clean) == ((order.pk,), False)
    assert PaperOrder.objects.get().status == "cancelled"
    order.refresh_from_db()
    assert order.status == "cancelled"
    assert recover(desk).clean


def test_an_orphan_is_kept_cancelled_and_told(desk: Desk) -> None:
    """EXE-6: nobody of ours sent it: it ends, it is told once, and entries stop."""
    client_id = at_the_venue(desk)
    found = recover(desk)
    assert found.orphans == (client_id,)
    orphan = VenueOrphan.objects.get()
    assert (orphan.portfolio_id, orphan.outcome, orphan.quantity) == (desk.pk, "cancelled", D("0.01"))
    assert (orphan.side, orphan.instrument_code, orphan.settled_at) == ("BUY", "BTC", desk.now)
    assert PaperOrder.objects.get().status == "cancelled"
    desk.portfolio.refresh_from_db()
    assert desk.portfolio.status != "active"
    why = f"paper has BUY 0.01 BTC ({client_id}) on this account, which none of our orders is"
    assert desk.portfolio.status_reason.startswith(why)
    assert recover(desk).clean
    assert books_audit() == []


def test_an_orphan_that_filled_is_told_and_stays_a_difference(desk: Desk) -> None:
    """EXE-6, OPS-2: the venue holds what our books do not; it is never mended in silence."""
    client_id = at_the_venue(desk)
    assert matched(desk) == [client_id]
    assert recover(desk).orphans == (client_id,)
    orphan = VenueOrphan.objects.get()
    assert (orphan.outcome, orphan.filled_quantity) == ("ended", D("0.01"))
    assert not Position.objects.exists()
    kinds = {finding.kind for finding in books_audit()}
    assert kinds == {"paper_order_is_ours", "paper_holding_is_position"}


def test_an_orphan_that_cannot_be_cancelled_is_tried_again(desk: Desk) -> None:
    """EXE-6: not settled before the venue has taken the cancel."""
    at_the_venue(desk)
    fault_tell(operation="cancel", kind="unavailable")
    recover(desk)
    orphan = VenueOrphan.objects.get()
    assert (orphan.outcome, orphan.settled_at) == ("failed", None)
    assert orphan.detail == "The venue is away (503); it is tried again"
    recover(desk)
    orphan.refresh_from_db()
    assert orphan.outcome == "cancelled"
    assert VenueOrphan.objects.count() == 1


def test_a_venue_that_is_away_changes_nothing(desk: Desk) -> None:
    """EXE-6: told as not settled, and due again at once."""
    sent(desk)
    fault_tell(operation="fetch", kind="unavailable")
    found = recover(desk)
    assert (found.error, found.clean) == ("The venue is away (503)", False)
    assert CycleState.objects.get().reconciled_at is None
    assert portfolios_reconcile(now=desk.now) == [Reconciled(portfolio_id=desk.pk)]


def test_who_is_due(desk: Desk) -> None:
    """EXE-6: half a minute apart, while something is or lately was open; at a start everybody."""
    assert portfolios_reconcile(now=desk.now) == []
    assert portfolios_reconcile(now=desk.now, begun_at=desk.now) == [Reconciled(portfolio_id=desk.pk)]
    order = sent(desk)
    assert portfolios_reconcile(now=desk.later(24)) == []
    assert len(portfolios_reconcile(now=desk.later(1))) == 1
    execution.order_cancel(order_id=order.pk, now=desk.now)
    order_sync(order_id=order.pk, now=desk.now)
    assert len(portfolios_reconcile(now=desk.later(3600))) == 1
    assert portfolios_reconcile(now=desk.later(60)) == []


def test_an_overfill_stops_entries(desk: Desk) -> None:
    """EXE-3: booked as told, and a person has to look."""
    order = sent(desk)
    fault_tell(operation="match", kind="twice")
    matched(desk)
    found = recover(desk)
    assert found.asked == (order.pk,)
    desk.portfolio.refresh_from_db()
    assert desk.portfolio.status != "active"
    assert desk.portfolio.status_reason == f"paper filled 0.02 of order {order.pk} (BUY 0.01 BTC)"
    assert PaperHolding.objects.get().quantity == Position.objects.get().quantity == D("0.02")


def test_a_crash_at_every_step_of_an_order(desk: Desk) -> None:
    """EXE-6: stored, claimed, taken, executed, told: wherever it stopped, the same end, once."""
    steps = 5
    for crash_after in range(1, steps + 1):
        order = desk.order("BUY", "0.001", "100100")  # 1: stored
        if crash_after >= 2:
            order_claim_submit(order_id=order.pk, now=desk.now)
        order.refresh_from_db()
        if crash_after >= 3:
            PaperVenue().order_submit(request=order_request(order=order), now=desk.now)
        if crash_after >= 4:
            matched(desk)
        if crash_after >= 5:
            order_sync(order_id=order.pk, now=desk.now)
        desk.later(11)
        recover(desk)
        order.refresh_from_db()
        expected = ["pending", "unknown", "submitted", "filled", "filled"][crash_after - 1]
        assert order.status == expected, f"crashed after step {crash_after}"
        assert PaperOrder.objects.filter(client_order_id=order.client_order_id).count() == (crash_after >= 3)
        assert Fill.objects.filter(order=order).count() == (crash_after >= 4)
    assert books_audit() == []


def test_the_command_shows_and_settles(desk: Desk) -> None:
    """CLI-1, EXE-6: a table, or JSON; exit status 1 on a finding, 0 when all is well."""
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert out.getvalue().splitlines() == [
        "portfolio  asked unsettled missed fills strays orphans",
        f"{desk.pk:>9}      0         0            0      0       0",
    ]
    client_id = at_the_venue(desk)
    out = StringIO()
    with pytest.raises(CommandError, match=f"found in portfolios {desk.pk}"):
        call_command("reconcile", str(desk.pk), "--json", stdout=out)
    (told,) = json.loads(out.getvalue())
    assert (told["portfolio_id"], told["orphans"], told["clean"]) == (desk.pk, [client_id], False)
    with pytest.raises(CommandError, match="There is no portfolio 0"):
        call_command("reconcile", "0")


def test_a_fault_of_one_portfolio_is_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXE-6: the others are settled all the same."""
    other = desk_open(policy="perp", name="Other")
    CycleState.objects.create(portfolio=other.portfolio)
    real = PaperVenue.orders_open

    def deaf(self: PaperVenue, *, account: str) -> object:
        if account == f"portfolio:{desk.pk}":
            raise RetryLater("no answer")
        return real(self, account=account)

    monkeypatch.setattr(PaperVenue, "orders_open", deaf)
    found = portfolios_reconcile(now=desk.now, begun_at=desk.now)
    assert [(one.portfolio_id, one.error) for one in found] == [(desk.pk, "no answer"), (other.pk, "")]


def test_a_start_settles_everybody_in_turns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXE-6: some hundred at once, none twice, and not for ever where the venue is away."""
    others = [desk_open(policy="perp", name=f"Other {n}") for n in range(2)]
    for other in others:
        CycleState.objects.create(portfolio=other.portfolio)
    monkeypatch.setattr("engine.recovery.AT_ONCE", 2)
    begun_at = desk.now
    assert recovery_go_on(begun_at=begun_at, now=desk.later())
    assert CycleState.objects.filter(reconciled_at=desk.now).count() == 2
    assert not recovery_go_on(begun_at=begun_at, now=desk.later())
    assert CycleState.objects.filter(reconciled_at__isnull=True).count() == 0
    assert CycleState.objects.filter(reconciled_at=desk.now).count() == 1, "none twice"
    fault_tell(operation="fetch", kind="unavailable", times=2)
    assert not recovery_go_on(begun_at=desk.now, now=desk.now), "both were away: beat comes round later"
