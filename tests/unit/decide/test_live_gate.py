"""Going live, and holding more positions live: each condition alone keeps it back (EXE-5, BEY-8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import RAMP
from engine.domain.live_compare import cash_difference, holdings_missing, part_ours
from engine.domain.live_gate import GateFacts, RampFacts, gate_conditions, ramp_next, ramp_problem

NOW = datetime(2026, 1, 8, tzinfo=UTC)
READY = GateFacts(
    server_allows=True,
    second_factor=True,
    email_verified=True,
    key_problem="",
    check_problems=(),
    shadow_for=timedelta(hours=24),
    shadow_least=timedelta(hours=24),
    shortened="",
    sandbox=False,
    has_sandbox=True,
    sandbox_filled=True,
    sandbox_cancelled=True,
    assigned=D(1000),
    free_cash=D(1000),
    quote="USDT",
    stopped="",
)


def missing(facts: GateFacts) -> dict[str, str]:
    return {one.name: one.text for one in gate_conditions(facts=facts) if not one.met}


def test_all_conditions_met() -> None:
    """BEY-8: nothing is missing, and nine things were looked at."""
    assert missing(READY) == {}
    assert len(gate_conditions(facts=READY)) == 9


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("server", {"server_allows": False}, "LIVE_TRADING"),
        ("second_factor", {"second_factor": False}, "second factor"),
        ("email", {"email_verified": False}, "Verify your e-mail address"),
        ("key", {"key_problem": "The key was revoked."}, "revoked"),
        ("account", {"check_problems": ("Hedge mode is on.",)}, "Hedge mode"),
        ("account", {"check_problems": None}, "not been asked"),
        ("cash", {"free_cash": D("999.99")}, "only 999.99 USDT"),
        ("cash", {"free_cash": None}, "not been read"),
        ("shadow", {"shadow_for": timedelta(hours=23)}, "23.0 of 24.0 h"),
        ("sandbox", {"sandbox_filled": False}, "cancelled (done)"),
        ("sandbox", {"sandbox_cancelled": False}, "filled (done)"),
        ("breakers", {"stopped": "Emergency stop stands: x."}, "Emergency stop"),
    ],
)
def test_each_condition_alone_keeps_it_back(name: str, change: dict[str, Any], says: str) -> None:
    """BEY-8: and says what to do."""
    found = missing(replace(READY, **change))
    assert list(found) == [name]
    assert says in found[name]


def test_what_stands_in_for_a_condition() -> None:
    """BEY-8: a reason shortens the shadow; the sandbox's own account, or none at all, needs no sandbox."""
    assert missing(replace(READY, shadow_for=timedelta(0), shortened="I know these traders")) == {}
    unused = {"sandbox_filled": False, "sandbox_cancelled": False}
    assert missing(replace(READY, has_sandbox=False, **unused)) == {}
    assert missing(replace(READY, sandbox=True, **unused)) == {}


RAMPING = RampFacts(
    step=2, since=NOW - timedelta(days=3), filled=5, open_problem="", days_least=3, orders_least=5
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"since": NOW - timedelta(days=2, hours=12)}, "2.5 of 3 days"),
        ({"filled": 4}, "4 of 5 orders"),
        ({"open_problem": "Less is there."}, "Settle that first"),
        ({"step": None}, "as many positions as its limits allow already"),
    ],
)
def test_the_ramp_needs_days_and_orders_without_a_finding(change: dict[str, Any], says: str) -> None:
    """SPEC, money: all of it, one step at a time."""
    problem = ramp_problem(facts=replace(RAMPING, **change), now=NOW)
    assert (problem == "") is (says == "")
    assert says in problem


def test_the_steps() -> None:
    """SPEC, money: 2, 3, 5, then as the limits say."""
    assert [ramp_next(step=step, steps=RAMP) for step in (2, 3, 5, None)] == [3, 5, None, None]


quantities = st.decimals(min_value=-5, max_value=5, places=4)


@given(held=quantities, seen=quantities)
def test_what_is_ours_is_never_more_than_either(held: D, seen: D) -> None:
    """SPEC, money: never more than our books hold, never more than is there, never the other side."""
    ours = part_ours(held=held, seen=seen)
    assert abs(ours) == (min(abs(held), abs(seen)) if held * seen > 0 else 0)
    assert ours * held >= 0
    assert ours * seen >= 0
    (*found,) = holdings_missing(held={"BTC": held}, seen={"BTC": seen}, moving=set())
    assert bool(found) == (held != ours)
    assert holdings_missing(held={"BTC": held}, seen={"BTC": seen}, moving={"BTC"}) == []


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ("1100", ""),  # 1,000 of ours and 100 beside
        ("1101", ""),  # one unit of the currency is rounding
        ("1101.01", "cash_came"),
        ("1098.99", "cash_left"),
        ("1000", "cash_left"),
        ("999.99", "cash_missing"),
    ],
)
def test_cash_beside_ours_may_go_and_ours_may_not(seen: str, kind: str) -> None:
    """SPEC, money: deposits and withdrawals at the venue are told apart from what is missing."""
    found = cash_difference(cash=D(1000), elsewhere=D(100), seen=D(seen), quote="USDT")
    assert (found.kind if found else "") == kind
