"""The audit finds each kind of difference that it promises to find (OPS-2)."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal as D
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from allocation.audit import CAPITAL_CHECKS
from allocation.reservations import capital_reserve
from execution.audit import EXECUTION_CHECKS
from execution.orders import order_submit
from positions import audit
from positions.audit import books_audit
from positions.services import order_sync
from positions.transfers import transfers_book
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db

# What is broken, and the check that must notice.
BREAKS = [
    ("UPDATE allocation_capitalaccount SET free = free + 1", "cash_is_ledger"),
    ("UPDATE allocation_capitalaccount SET free = free - 1, reserved = reserved + 1", "reserved_is_granted"),
    ("UPDATE allocation_capitalaccount SET free = free - 1, committed = committed + 1", "committed_is_held"),
    ("UPDATE allocation_capitalaccount SET deployed = deployed + 1", "deployed_is_cost"),
    ("UPDATE allocation_capitalaccount SET units = units + 1", "units_are_flows"),
    ("UPDATE allocation_capitalaccount SET deposits_net = deposits_net + 1", "deposits_are_flows"),
    ("UPDATE allocation_ledgerentry SET amount = amount + 1 WHERE kind = 'fee'", "ledger_fees"),
    ("UPDATE allocation_ledgerentry SET amount = amount + 1 WHERE kind = 'realized'", "ledger_realized"),
    ("UPDATE allocation_ledgerentry SET kind = 'funding' WHERE kind = 'realized'", "ledger_funding"),
    ("UPDATE allocation_ledgerentry SET kind = 'sale' WHERE kind = 'realized'", "ledger_trades"),
    ("UPDATE allocation_follow SET weight = 0.4 WHERE place = 1", "weights_are_one"),
    ("UPDATE execution_order SET filled_quantity = 0.03 WHERE side = 'BUY'", "order_is_its_fills"),
    ("UPDATE execution_order SET fees = 0 WHERE side = 'BUY'", "order_fees_are_its_fills"),
    ("UPDATE execution_orderslice SET quantity = quantity * 2", "order_is_its_slices"),
    ("UPDATE execution_fill SET price = price + 1", "paper_fill_is_booked"),
    ("UPDATE execution_fill SET price = price + 1", "fill_is_distributed"),
    ("UPDATE execution_fill SET venue_fill_id = 'x' || id", "paper_fill_was_made"),
    ("UPDATE execution_paperorder SET client_order_id = '0x' || id", "paper_order_is_ours"),
    ("UPDATE execution_paperholding SET quantity = quantity + 1", "paper_holding_is_its_fills"),
    ("UPDATE positions_positionslice SET quantity = quantity + 0.001", "slices_quantity"),
    ("UPDATE positions_positionslice SET cost = cost + 1 WHERE quantity > 0", "slices_result"),
    ("UPDATE positions_positionslice SET fees = fees + 1", "slices_fees"),
    ("UPDATE positions_positionslice SET funding = funding + 1", "slices_funding"),
    ("UPDATE positions_sliceentry SET quantity = quantity * 2 WHERE kind = 'fill'", "entries_quantity"),
    ("UPDATE positions_sliceentry SET notional = notional + 1 WHERE kind = 'transfer'", "entries_result"),
    ("UPDATE positions_sliceentry SET realized_pnl = realized_pnl + 1", "entries_realized"),
    ("UPDATE positions_sliceentry SET fee = fee + 1", "entries_fees"),
    ("UPDATE positions_sliceentry SET funding = funding + 1", "entries_funding"),
    ("UPDATE positions_position SET quantity = quantity + 0.001", "position_is_its_fills"),
    ("UPDATE positions_position SET cost = cost + 1", "position_result_is_its_fills"),
    ("UPDATE positions_sliceentry SET transfer_id = NULL WHERE quantity < 0", "transfer_has_two_sides"),
    (
        "UPDATE positions_position SET status = 'closed', quantity = 0, cost = 0, margin = 0",
        "open_position_holds_something",
    ),
]  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    """A desk with a holding, a realized gain, a transfer and a reservation; its books are clean."""
    opened = desk_open(policy="perp")
    opened.mark("100000")
    one, two = (follow.pk for follow in opened.follows)
    trades = [
        ("BUY", "0.02", "100100", {one: "0.01", two: "0.01"}, False),
        ("SELL", "0.005", "99000", {one: "-0.005"}, True),
    ]
    for side, quantity, limit, slices, reduce_only in trades:
        order = opened.order(side, quantity, limit, slices=slices, reduce_only=reduce_only)  # type: ignore[arg-type]
        order_submit(order_id=order.pk, now=opened.now)
        opened.later()
        opened.mark("101000" if reduce_only else "100000")
        opened.match()
        assert order_sync(order_id=order.pk, now=opened.now).status == "filled"
    transfers_book(
        portfolio=opened.portfolio, instrument_code="BTC", underlying="BTC", pairs=[(two, one, D("0.002"))],
        mark=D(101000), margin_rate=D(1), run=1, now=opened.now, world_at=opened.now,
    )  # fmt: skip
    capital_reserve(
        portfolio_id=opened.pk, amount=D(5), source="t", instrument_code="BTC", now=opened.now, timeout_s=30
    )
    assert books_audit() == []
    return opened


@pytest.mark.parametrize(("sql", "kind"), BREAKS, ids=[f"{kind}-{n}" for n, (_, kind) in enumerate(BREAKS)])
def test_each_difference_is_found(desk: Desk, sql: str, kind: str) -> None:
    """OPS-2: a changed number anywhere is noticed, for this portfolio and for all."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.rowcount > 0
    assert kind in {finding.kind for finding in books_audit(portfolio_id=desk.pk)}
    assert {finding.kind for finding in books_audit()} >= {kind}
    assert books_audit(portfolio_id=desk.pk + 1) == []


def test_every_check_is_tried_here() -> None:
    """OPS-2: a check that nothing breaks here proves nothing. Cash has its parts by generated column."""
    checks = (*CAPITAL_CHECKS, *EXECUTION_CHECKS, *audit._MONEY_CHECKS, *audit._BOOK_CHECKS)
    assert {check.kind for check in checks} - {kind for _, kind in BREAKS} == {"cash_has_parts"}


def test_fills_on_their_way_are_waited_for(desk: Desk) -> None:
    """OPS-2: what the venue did a moment ago may not have reached the books yet."""
    order = desk.order("BUY", "0.01", "102000")
    order_submit(order_id=order.pk, now=desk.now)
    desk.later()
    desk.mark("101000")
    desk.match()
    assert books_audit(settled_before=desk.now) == []
    assert [f.kind for f in books_audit(settled_before=desk.now + timedelta(seconds=1))] == [
        "paper_fill_is_booked"
    ]
    assert [f.kind for f in books_audit()] == ["paper_fill_is_booked"]


def test_the_command_says_so_and_fails(desk: Desk) -> None:
    """CLI-1: a table or JSON, exit code 1 on a finding."""
    out = StringIO()
    call_command("audit_books", stdout=out)
    assert "The books are clean" in out.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE allocation_capitalaccount SET free = free + 1")
    out = StringIO()
    with pytest.raises(CommandError, match="1 differences") as failed:
        call_command("audit_books", "--json", "--portfolio", str(desk.pk), stdout=out)
    assert failed.value.returncode == 1
    (finding,) = json.loads(out.getvalue())
    assert (finding["kind"], D(finding["found"]) - D(finding["expected"])) == ("cash_is_ledger", 1)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("audit_books", stdout=out)
    assert "cash_is_ledger" in out.getvalue()
