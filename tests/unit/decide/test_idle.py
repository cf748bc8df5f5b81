"""RSK-1: how much the traders wanted is not there, and because of which limit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from allocation.domain.correlation import Correlations
from core.decimals import ZERO
from core.types import Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs
from engine.domain.idle import idle_by_limit, idle_record
from tests.unit.decide.scenario import PRICES, WIDE, D, book, bounds, follow, holding, inputs, markets


def wants(**notionals: int) -> Any:
    """A trader of 10,000 with these notionals, in a portfolio that is as large and follows it alone."""
    return follow(1, book(10000, {code: D(value) / PRICES[code] for code, value in notionals.items()}))


def idle_of(given: CopyInputs) -> dict[str, dict[str, Decimal]]:
    """Return what is idle, by cause and underlying, in whole dollars."""
    causes = idle_by_limit(idle=copy_plan(inputs=given).idle)
    return {
        cause.limit: {underlying: round(amount) for underlying, amount in cause.parts} for cause in causes
    }


def test_one_limit_after_the_other_takes_its_part() -> None:
    """RSK-1: of 10,000 wanted a cap of 60 % leaves 6,000, and 25 % of 20,000 per position leaves 5,000."""
    one, other = wants(BTC=10000), replace(wants(ETH=6000), follow_id=2, place=2)
    given = inputs(one, other, limits=bounds(D("0.25"), 9, D("0.6")), equity=D(20000))
    assert idle_of(given) == {"gross": {"BTC": 4000}, "position": {"BTC": 1000, "ETH": 1000}}
    record = idle_record(idle=copy_plan(inputs=given).idle)
    assert record[1]["text"] == "25 % of equity ($5,000.00) cuts BTC by $1,000.00 and ETH by $1,000.00"
    assert [cause["amount"] for cause in record] == ["4000", "2000"]


def test_a_gross_cap_keeps_each_trader_from_its_whole_share() -> None:
    """RSK-1: half of what is wanted at a cap of 50 %; ten times its equity wants its share, no more."""
    half = bounds(D(10), 9, D("0.5"))
    given = inputs(wants(BTC=6000, ETH=4000), limits=half)
    assert idle_of(given) == {"gross": {"BTC": 3000, "ETH": 2000}}
    assert idle_of(inputs(wants(BTC=60000, ETH=40000), limits=half)) == {"gross": {"BTC": 3000, "ETH": 2000}}
    assert idle_of(inputs(wants(BTC=60000, ETH=40000), limits=bounds(D(10), 9, D(1)))) == {}
    record = idle_record(idle=copy_plan(inputs=given).idle)
    assert [(cause["limit"], cause["label"], cause["amount"]) for cause in record] == [
        ("gross", "Total exposure", "5000")
    ]
    assert record[0]["text"] == "50 % gross exposure cuts BTC by $3,000.00 and ETH by $2,000.00"


def test_nothing_is_idle_where_nothing_binds() -> None:
    """RSK-1: what is ordered, on its way or held is not idle."""
    assert idle_of(inputs(wants(BTC=5000, ETH=2500))) == {}
    held = holding("BTC", {1: D(5000) / PRICES["BTC"]})
    assert idle_of(inputs(wants(BTC=5000), holdings={"BTC": held})) == {}


def test_every_cause_has_its_name() -> None:
    """RSK-1: places, moving together, bars, turns, capital, the venue's minimum, the spot policy."""
    both = wants(BTC=5000, ETH=2500)
    assert idle_of(inputs(both, limits=bounds(D(10), 1, D(2)))) == {"places": {"ETH": 2500}}
    together = replace(WIDE, max_correlated=D("0.6"))
    assert idle_of(inputs(both, limits=together)) == {"correlated": {"BTC": 1000, "ETH": 500}}
    apart = Correlations({("BTC", "ETH"): 0.0})
    assert idle_of(inputs(both, limits=together, correlations=apart)) == {}
    assert idle_of(inputs(both, limits=replace(WIDE, max_asset_weight=D("0.3")))) == {"asset": {"BTC": 2000}}
    assert idle_of(inputs(both, entries_blocked="halted")) == {"barred": {"BTC": 5000, "ETH": 2500}}
    assert idle_of(inputs(both, limits=replace(WIDE, max_open_orders=1))) == {"turn": {"ETH": 2500}}
    assert idle_of(inputs(both, free_capital=ZERO)) == {"capital": {"BTC": 5000, "ETH": 2500}}
    assert idle_of(inputs(wants(BTC=5000, ETH=6))) == {"minimum": {"ETH": 6}}
    short = wants(BTC=5000, ETH=-2500)
    assert idle_of(inputs(short, policy=Policy.SPOT)) == {"spot": {"ETH": 2500}}
    stale = markets(stale=frozenset({"ETH"}))
    assert idle_of(inputs(both, markets=stale)) == {"barred": {"ETH": 2500}}


def test_a_bar_says_why_in_the_reason() -> None:
    """RSK-2: what a breaker holds back is idle because of it."""
    (cause,) = idle_record(idle=copy_plan(inputs=inputs(wants(BTC=5000), entries_blocked="halted")).idle)
    assert cause["text"] == "Halted cuts BTC by $5,000.00"
    assert cause["label"] == "Entries stopped"
