"""How much of a trader's book could be copied, and why not more (BEY-4)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.types import ConflictRule, Policy
from engine.domain import feasibility
from engine.domain.copy_types import CopyInputs, FollowInput
from engine.domain.feasibility import CANDIDATE, Feasibility, feasibility_foresee
from engine.domain.foresee import Foreseen, settle_foresee
from tests.unit.decide.scenario import PRICES, WIDE, D, book, bounds, follow, inputs, markets


def candidate(equity: int, quantities: dict[str, Any], **more: Any) -> FollowInput:
    return follow(CANDIDATE, book(equity, quantities), **more)


def foresee(*follows: FollowInput, **more: Any) -> Feasibility:
    given: CopyInputs = inputs(*follows, **more)
    return feasibility_foresee(inputs=given)


def test_a_book_that_fits_is_copied_whole() -> None:
    """3,000 of ETH and 2,000 of SOL by a trader as rich as we are."""
    found = foresee(candidate(10000, {"ETH": 1, "SOL": 10}))
    assert found.wished == 5000
    assert found.copied == 5000
    assert found.fraction == 1
    assert found.reasons == ()
    assert (found.weight, found.share, found.scale) == (D(1), D(10000), D(1))
    assert not found.capital_sought


def test_too_little_capital_leaves_what_is_below_the_minimum() -> None:
    """A thousandth of 10,000: ETH would be 9, below the venue's 10; of SOL 10.50 a step less is."""
    found = foresee(
        candidate(10_000_000, {"ETH": 3000, "SOL": 52_500}),
        equity=D(10),
        free_capital=D(100),
        margin_rate=D("0.5"),
    )
    legs = {leg.underlying: leg for leg in found.legs}
    assert legs["ETH"].copied == 0
    assert legs["ETH"].wished == 9
    assert [cause for cause, _ in legs["ETH"].reasons] == ["Venue's minimum"]
    assert legs["SOL"].copied == 10
    assert found.fraction == D(10) / D("19.5")
    assert found.capital_enough is not None
    assert D("11.1") <= found.capital_enough <= D(25)


def test_a_cap_in_percent_no_capital_can_lift() -> None:
    """At most 10 % of equity in a position: of 30 % a third is copied, however much money there is."""
    found = foresee(candidate(10000, {"ETH": 1}), limits=bounds(D("0.1"), 10, D(2)))
    assert found.fraction == pytest.approx(D(1) / 3, abs=D("0.001"))
    assert [cause for cause, _ in found.reasons] == ["Largest position"]
    assert found.capital_sought
    assert found.capital_enough is None


def test_leverage_beyond_the_cap_is_scaled_to_the_share() -> None:
    """Six times its equity, where ours may go to twice: a third."""
    found = foresee(candidate(10000, {"BTC": 1}))
    assert found.wished == 60000
    assert found.scale == pytest.approx(D(1) / 3, abs=D("0.0001"))
    assert found.fraction == pytest.approx(D(1) / 3, abs=D("0.001"))
    assert found.reasons[0][0] == "Scaled to its share"


def test_spot_copies_no_shorts() -> None:
    """Half the book is short."""
    found = foresee(
        candidate(10000, {"ETH": 1, "SOL": -15}), policy=Policy.SPOT, limits=replace(WIDE, max_gross=D(1))
    )
    assert found.fraction == D("0.5")
    assert found.reasons == (("Spot policy: shorts only lower others' longs", D("0.5")),)


def test_what_is_not_traded_here_is_said() -> None:
    """No market of ours for SOL."""
    prices = {code: price for code, price in PRICES.items() if code != "SOL"}
    found = foresee(candidate(10000, {"ETH": 1, "SOL": 10}), markets=markets(prices))
    assert found.fraction == D("0.6")
    assert found.reasons == (("Not traded here", D("0.4")),)


def test_places_that_others_hold_are_not_free() -> None:
    """Two places, one of them for another trader's BTC: one of the candidate's two is left out."""
    other = follow(1, book(10000, {"BTC": "0.1"}))
    found = foresee(other, candidate(10000, {"ETH": 1, "SOL": 10}), limits=bounds(D(10), 2, D(2)))
    assert len([leg for leg in found.legs if leg.copied]) <= 1
    assert found.reasons[0][0] == "Number of positions"
    assert found.share == 5000


def test_the_other_rules_winner_takes_the_instrument() -> None:
    """Under "largest" the smaller of two wishes is not copied."""
    other = follow(1, book(10000, {"ETH": 2}))
    found = foresee(other, candidate(10000, {"ETH": -1}), rule=ConflictRule.LARGEST)
    assert found.fraction == 0
    assert found.reasons == (("Conflict with another trader", D(1)),)


def test_what_was_open_before_is_left_out_where_only_new_trades_join() -> None:
    """All of ETH is ignored."""
    found = foresee(candidate(10000, {"ETH": 1, "SOL": 10}, ignored={"ETH": D(1)}))
    assert found.fraction == D("0.4")
    assert found.reasons == (("Open from before", D("0.6")),)


def test_more_than_one_round_is_needed_for_many_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries go one at a time here: four positions come to rest all the same, in as many rounds."""
    given = inputs(candidate(10000, {"BTC": "0.02", "ETH": "0.4", "SOL": 6, "DOGE": 6000}), entries_at_once=1)
    assert feasibility_foresee(inputs=given).fraction > D("0.99")
    monkeypatch.setattr(feasibility, "settle_foresee", lambda *, inputs, most_rounds=1: _once(inputs))
    assert feasibility_foresee(inputs=given, seek_capital=False).fraction < D("0.5")


def _once(given: CopyInputs) -> Foreseen:
    return settle_foresee(inputs=given, most_rounds=1)


def test_nothing_open_is_nothing_missed() -> None:
    """A trader in cash: copied whole, with nothing to say."""
    found = foresee(candidate(10000, {}))
    assert (found.fraction, found.legs, found.reasons) == (D(1), (), ())


def test_the_capital_found_is_enough_and_less_is_not() -> None:
    """What is answered is tried: with it 90 % is reached, with a tenth less it is not."""
    quantities = {"BTC": "0.01", "ETH": "0.05", "SOL": "0.2", "DOGE": 10}
    given = inputs(candidate(2_000, quantities), equity=D(25), free_capital=D(100))
    found = feasibility_foresee(inputs=given)
    enough = found.capital_enough
    assert enough is not None
    for factor, reached in ((Decimal(1), True), (Decimal("0.85"), False)):
        equity = enough * factor
        richer = replace(given, equity=equity, free_capital=given.free_capital + equity - given.equity)
        again = feasibility_foresee(inputs=richer, seek_capital=False)
        assert (again.fraction >= D("0.9")) is reached
