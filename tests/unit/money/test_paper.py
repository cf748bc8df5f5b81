"""The paper venue's matching, pure: fees, spread, slippage, depth, limits, refusals."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.instruments import Instrument
from execution.domain.paper import PaperAssumptions, PaperMatch, accept_problem, paper_match_step

BTC = Instrument("BTC", "BTC", D(1), D("0.00001"), 1, max_leverage=40)
DOGE = Instrument("DOGE", "DOGE", D(1), D(1), 6, max_leverage=10)
PLAIN = PaperAssumptions()


def match(side: str, remaining: str, limit: str, mark: str = "100000", **kw: object) -> PaperMatch | None:
    return paper_match_step(
        side=side,
        policy=str(kw.get("policy", "perp")),
        remaining=D(remaining),
        limit_price=D(limit),
        mark=D(mark),
        instrument=kw.get("instrument", BTC),  # type: ignore[arg-type]
        assumptions=PLAIN,
    )


def test_a_small_buy_pays_spread_slippage_and_fee() -> None:
    """EXE-5: touch 100,010; 1,000.10 of 10,000 depth slips 0.2 bps to 100,012.0002, rounded up."""
    assert match("BUY", "0.01", "100100") == PaperMatch(D("0.01"), D("100013"), D("0.45005850"))


def test_a_small_sell_is_the_mirror() -> None:
    """EXE-5: touch 99,990, slipped 0.2 bps to 99,988.0004, down to the next integer; spot pays 7 bps."""
    assert match("SELL", "0.01", "99000", policy="spot") == PaperMatch(D("0.01"), D("99988"), D("0.69991600"))


@pytest.mark.parametrize(
    ("side", "limit"), [("BUY", "100009"), ("SELL", "99991"), ("BUY", "99999"), ("SELL", "100001")]
)
def test_a_limit_beyond_the_touch_does_not_fill(side: str, limit: str) -> None:
    """EXE-4: a limit is a limit."""
    assert match(side, "0.01", limit) is None


def test_depth_fills_partially() -> None:
    """EXE-3: BTC shows 40 × 250 = 10,000 per mark: 0.09999 of 1 BTC, at the full slippage of 2 bps."""
    got = match("BUY", "1", "100100")
    assert got == PaperMatch(D("0.09999"), D("100031"), D("4.50094486"))


def test_a_tight_limit_takes_only_what_slips_within_it() -> None:
    """Half a basis point of room of two: a quarter of the depth, and never a worse price than the limit."""
    got = match("BUY", "1", "100015")
    assert got is not None
    assert got.quantity == D("0.02499")
    assert got.price == D("100015")


def test_one_step_is_always_on_offer() -> None:
    """An instrument whose step is worth more than the depth still trades, a step at a time."""
    dear = Instrument("X", "X", D(1), D(1), 2, max_leverage=1)
    got = match("BUY", "3", "2000", mark="1000", instrument=dear)
    assert got is not None
    assert got.quantity == 1


@given(
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 10**7),
    st.decimals(min_value="0.01", max_value="5", places=5),
    st.integers(-100, 100),
)
def test_no_fill_breaks_a_promise(side: str, quantity: int, mark: D, limit_bps: int) -> None:
    """Never worse than the limit, never better than the touch, never more than asked, always on the step."""
    limit = DOGE.price(mark * (1 + D(limit_bps) / 10000), up=side == "SELL")
    got = match(side, str(quantity), str(limit), mark=str(mark), instrument=DOGE)
    if got is None:
        return
    assert 0 < got.quantity <= quantity
    assert got.quantity == DOGE.quantity(got.quantity)
    assert got.fee == (got.quantity * got.price * D("0.00045")).quantize(D("0.00000001"))
    if side == "BUY":
        assert mark < got.price <= limit
    else:
        assert mark > got.price >= limit
    assert got == match(side, str(quantity), str(limit), mark=str(mark), instrument=DOGE), "deterministic"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"quantity": D("0.000015")}, "not a multiple of the step"),
        ({"limit_price": D("100000.55")}, "more digits"),
        ({"quantity": D("0.00009")}, "below the minimum of 10"),
        ({"reduce_only": True}, "nothing to reduce"),
        ({"reduce_only": True, "held": D("-0.5"), "quantity": D("0.00001")}, ""),
        ({"side": "SELL", "policy": "spot", "held": D("0.5")}, "1 to sell and 0.5 held"),
        ({"side": "SELL", "policy": "spot", "held": D(1), "reduce_only": True}, ""),
    ],
)
def test_refusals_are_told_in_words(change: dict[str, object], problem: str) -> None:
    """EXE-5: precision, minimum notional, reduce-only and spot holdings."""
    order: dict[str, object] = {
        "side": "BUY", "policy": "perp", "quantity": D(1), "limit_price": D(100000), "reduce_only": False,
        "held": D(0), "instrument": BTC,
    }  # fmt: skip
    found = accept_problem(**(order | change))  # type: ignore[arg-type]
    assert problem in found
    assert bool(problem) == bool(found)
