"""Reservations, the account's arithmetic, and paper cash (CAP-1, CAP-2, ALL-5)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Portfolio
from allocation.capital import Move, account_move
from allocation.cash import cash_deposit, cash_reset, cash_withdraw
from allocation.locks import capital_lock
from allocation.models import CapitalAccount, LedgerEntry, Reservation
from allocation.reservations import (
    ReservationGone,
    capital_commit,
    capital_release,
    capital_reserve,
    reservations_expire,
)
from core.errors import InputError, NotFound
from positions.audit import books_audit
from tests.integration.money.desk import NOW, Desk, desk_open

pytestmark = pytest.mark.django_db


def reserve(desk: Desk, amount: str) -> Reservation:
    return capital_reserve(
        portfolio_id=desk.pk,
        amount=D(amount),
        source="test",
        instrument_code="BTC",
        now=desk.now,
        timeout_s=30,
    )


def columns(desk: Desk) -> tuple[D, D, D, D]:
    account = desk.account
    return account.free, account.reserved, account.committed, account.deficit


def test_a_grant_moves_free_to_reserved_and_back() -> None:
    """CAP-1: granted with an id and an expiry of 30 s; released once, and only once."""
    desk = desk_open()
    version = desk.account.version
    granted = reserve(desk, "4000")
    assert granted.status == "granted"
    assert granted.expires_at is not None
    assert (granted.expires_at - NOW).total_seconds() == 30
    assert columns(desk) == (6000, 4000, 0, 0)
    assert capital_release(reservation_id=granted.pk, now=desk.later())
    assert not capital_release(reservation_id=granted.pk, now=desk.now)
    assert columns(desk) == (10000, 0, 0, 0)
    assert desk.account.version == version, "what may be spent changed, not what is held"
    assert books_audit() == []


def test_more_than_free_is_denied_with_the_reason() -> None:
    """CAP-2: the last cent can be reserved, one more cannot."""
    desk = desk_open()
    assert reserve(desk, "10000").status == "granted"
    denied = reserve(desk, "0.00000001")
    assert (denied.status, denied.reason) == ("denied", "$0.00 needed, $0.00 free")
    assert columns(desk) == (0, 10000, 0, 0)
    assert books_audit() == []


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_an_amount_that_is_none_is_refused(amount: str) -> None:
    """CAP-1: nothing is stored for it."""
    desk = desk_open()
    with pytest.raises(InputError, match="must be above 0"):
        reserve(desk, amount)
    assert not Reservation.objects.exists()


def test_finer_than_the_ledger_is_rounded_up() -> None:
    """CAP-1: never less than was asked for."""
    assert reserve(desk_open(), "1.000000001").amount == D("1.00000001")


def test_unused_grants_return_by_themselves() -> None:
    """CAP-1: one statement over all portfolios; what is used or still valid stays."""
    desk, other = desk_open(), desk_open(name="Other")
    early, used = reserve(desk, "100"), reserve(desk, "200")
    capital_commit(reservation_id=used.pk, portfolio_id=desk.pk, now=desk.now)
    foreign = reserve(other, "300")
    desk.later(20)
    late = reserve(desk, "400")
    assert set(reservations_expire(now=desk.later(10))) == {early.pk, foreign.pk}
    assert reservations_expire(now=desk.now) == []
    assert columns(desk) == (9400, 400, 200, 0)
    assert columns(other) == (10000, 0, 0, 0)
    late.refresh_from_db()
    assert late.status == "granted"
    early.refresh_from_db()
    assert (early.status, early.reason) == ("expired", "Not used in time")


def test_an_expired_grant_cannot_be_used_even_before_the_sweep() -> None:
    """CAP-1: the 30 s are a promise to others who wait."""
    desk = desk_open()
    granted = reserve(desk, "100")
    with pytest.raises(ReservationGone, match="is expired"):
        capital_commit(reservation_id=granted.pk, portfolio_id=desk.pk, now=desk.later(30))
    assert columns(desk) == (9900, 100, 0, 0)


def test_a_grant_is_used_once_and_by_its_owner() -> None:
    """CAP-2."""
    desk, other = desk_open(), desk_open(name="Other")
    granted = reserve(desk, "100")
    with pytest.raises(ReservationGone):
        capital_commit(reservation_id=granted.pk, portfolio_id=other.pk, now=desk.now)
    assert capital_commit(reservation_id=granted.pk, portfolio_id=desk.pk, now=desk.now) == 100
    with pytest.raises(ReservationGone, match="is used"):
        capital_commit(reservation_id=granted.pk, portfolio_id=desk.pk, now=desk.now)
    assert not capital_release(reservation_id=granted.pk, now=desk.now)


def test_a_loss_beyond_free_becomes_a_deficit_and_is_paid_first() -> None:
    """SPEC Capital: never refused; later income pays it before anything is free again."""
    desk = desk_open(cash="100")
    reserve(desk, "30")
    account_move(portfolio_id=desk.pk, move=Move(free=D(-90)), now=desk.now)
    assert columns(desk) == (0, 30, 0, 20)
    assert reserve(desk, "1").status == "denied"
    account_move(portfolio_id=desk.pk, move=Move(free=D(15)), now=desk.now)
    assert columns(desk) == (0, 30, 0, 5)
    reservations_expire(now=desk.later(31))
    assert columns(desk) == (25, 0, 0, 0)
    account = desk.account
    assert account.cash - account.deficit == 25


def test_the_database_refuses_what_cannot_be() -> None:
    """ALL-3, ALL-5: constraints stand behind the services."""
    desk = desk_open(cash="100")
    for move in (Move(reserved=D(-1)), Move(committed=D(-1)), Move(deployed=D(-1))):
        with pytest.raises(IntegrityError), transaction.atomic():
            account_move(portfolio_id=desk.pk, move=move, now=desk.now)
    with pytest.raises(IntegrityError), transaction.atomic():
        CapitalAccount.objects.filter(pk=desk.pk).update(deficit=1)
    with pytest.raises(ValueError, match="in steps of"):
        account_move(portfolio_id=desk.pk, move=Move(free=D("0.000000001")), now=desk.now)
    with pytest.raises(NotFound):
        capital_lock(portfolio_id=0)


def test_the_lock_is_in_the_sql() -> None:
    """STYLE 5."""
    desk = desk_open()
    with CaptureQueriesContext(connection) as queries:
        capital_lock(portfolio_id=desk.pk)
    assert "FOR UPDATE" in queries.captured_queries[0]["sql"]


def flow(desk: Desk, move: object, amount: str, equity: str, key: str) -> bool:
    request = {"portfolio": desk.portfolio, "amount": D(amount), "equity": D(equity), "key": key}
    if move is cash_withdraw:
        request["withdrawable"] = D(equity)
    return move(**request, now=desk.now, world_at=desk.now)  # type: ignore[operator]


def test_deposits_and_withdrawals_keep_the_unit_value() -> None:
    """SPEC Money in and out: at 1.25 a unit, 500 buy 400 units and 2,500 sell 2,000."""
    desk = desk_open()
    assert desk.account.units == 10000
    assert flow(desk, cash_deposit, "500", "12500", "a")
    assert (desk.account.units, desk.account.deposits_net) == (10400, 10500)
    assert (D(12500) + 500) / desk.account.units == D("1.25")
    assert flow(desk, cash_withdraw, "2500", "13000", "b")
    assert (desk.account.units, desk.account.deposits_net) == (8400, 8000)
    assert desk.account.free == 8000
    assert books_audit() == []


def test_the_same_key_books_once() -> None:
    """A double press is harmless; the same key for another amount is told."""
    desk = desk_open()
    assert flow(desk, cash_deposit, "500", "10000", "a")
    assert not flow(desk, cash_deposit, "500", "10500", "a")
    assert desk.account.cash == 10500
    with pytest.raises(InputError, match="was used for 500 before"):
        flow(desk, cash_deposit, "600", "10500", "a")
    assert flow(desk, cash_withdraw, "500", "10500", "a"), "a key counts per kind of flow"
    assert desk.account.cash == 10000


def test_only_free_capital_can_leave() -> None:
    """SPEC Money in and out."""
    desk = desk_open()
    reserve(desk, "9000")
    with pytest.raises(InputError, match=r"\$1,000.00 can be withdrawn now, not \$1,000.01") as refused:
        flow(desk, cash_withdraw, "1000.01", "10000", "a")
    assert refused.value.field == "amount"
    with pytest.raises(InputError, match=r"\$200.00 can be withdrawn"):
        flow(desk, cash_withdraw, "201", "200", "b")  # unrealized losses are not free to take out
    assert LedgerEntry.objects.count() == 1


def test_everything_can_leave_and_come_back() -> None:
    """The last unit goes with the last cent; the next deposit buys at the price it was sold at, here 1."""
    desk = desk_open(cash="300")
    assert flow(desk, cash_withdraw, "300", "300", "a")
    assert (desk.account.units, desk.account.cash) == (0, 0)
    assert flow(desk, cash_deposit, "70", "0", "b")
    assert desk.account.units == 70
    assert books_audit() == []


@pytest.mark.parametrize("amount", ["0", "-5", "NaN", "0.000000001", "1000000000001"])
def test_amounts_that_make_no_sense(amount: str) -> None:
    """A clear message beside the field."""
    desk = desk_open()
    for move in (cash_deposit, cash_withdraw, cash_reset):
        with pytest.raises(InputError) as refused:
            flow(desk, move, amount, "10000", "a")
        assert refused.value.field == "amount"
    assert LedgerEntry.objects.count() == 1


def test_a_share_of_nothing_has_no_price() -> None:
    """With equity at or below zero a deposit cannot be measured; the message says what to do."""
    desk = desk_open()
    with pytest.raises(InputError, match="reset the paper account instead"):
        flow(desk, cash_deposit, "10", "0", "a")


def test_reset_begins_anew() -> None:
    """SPEC Money in and out: cash, units and results start over; the ledger keeps what was."""
    desk = desk_open()
    account_move(portfolio_id=desk.pk, move=Move(free=D(-10200)), now=desk.now)
    LedgerEntry.objects.create(
        portfolio=desk.portfolio, kind="fee", amount=D(-10200), reference="test", at=NOW, world_at=NOW
    )
    assert columns(desk) == (0, 0, 0, 200)
    assert flow(desk, cash_reset, "5000", "-200", "a")
    assert not flow(desk, cash_reset, "5000", "5000", "a")
    account = desk.account
    assert (account.free, account.deficit, account.units, account.deposits_net) == (5000, 0, 5000, 5000)
    flow(desk, cash_deposit, "50", "5000", "b")
    assert desk.account.deposits_net == 5050
    assert {finding.kind for finding in books_audit()} == {"ledger_fees"}, "only the made-up fee differs"


def test_reset_refuses_while_capital_is_held() -> None:
    """SPEC Money in and out: only when nothing is open."""
    desk = desk_open()
    reserve(desk, "12.5")
    with pytest.raises(InputError, match=r"\$12.50 is reserved"):
        flow(desk, cash_reset, "5000", "10000", "a")


def test_live_cash_is_not_ours_to_move() -> None:
    """Only paper cash can be moved here."""
    desk = desk_open()
    Portfolio.objects.filter(pk=desk.pk).update(mode="live")
    desk.portfolio.refresh_from_db()
    with pytest.raises(InputError, match="at the exchange"):
        flow(desk, cash_deposit, "10", "10000", "a")
