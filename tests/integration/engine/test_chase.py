"""The chase guard through sync, database and cycle: what an add cost is kept, a skip is told (EXE-4)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.models import Decision
from tests.integration.engine.stage import Stage, stage_open
from tests.stateful.worlds import MadeUpWorld

D = Decimal


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    return stage_open(play=made_up, owner=alice, traders=1)


def test_an_entry_that_ran_away_is_skipped_until_it_comes_back(stage: Stage) -> None:
    """EXE-4, BEY-3: bought at 4,000; 4,100 is 2.5 % past it, 4,060 is not."""
    stage.price("ETH", "4100")
    stage.hold(1, "ETH", "1", entry="4000")
    stage.settle()
    assert (stage.held("ETH"), stage.orders) == (0, 0)
    decision = Decision.objects.get(portfolio=stage.portfolio, kind="refused")
    assert decision.text.startswith("Too late for ETH")
    assert "ETH at 4100 is 2.5 % past" in decision.reason
    stage.price("ETH", "4060")
    stage.settle()
    assert stage.held("ETH") == D("1.004")  # 4,060 ÷ (10,000 − 40) of our 10,000
    assert Decision.objects.filter(portfolio=stage.portfolio, kind="refused").count() == 1


def test_what_an_add_cost_is_kept_from_cycle_to_cycle(stage: Stage) -> None:
    """EXE-4: 0.5 at 4,000 and 0.5 more at 4,400 make an average of 4,200; only the add is measured."""
    stage.hold(1, "ETH", "0.5")
    stage.settle()
    assert stage.held("ETH") == D("0.5")
    assert stage.leg(1, "ETH").added_price is None
    stage.price("ETH", "4500")  # 2.3 % past the add
    stage.hold(1, "ETH", "1", entry="4200")
    stage.settle()
    assert stage.leg(1, "ETH").added_price == D(4400)
    assert stage.held("ETH") == D("0.5")
    stage.price("ETH", "4480")
    stage.settle()
    assert stage.held("ETH") > D("0.9")
    stage.hold(1, "ETH", "0")
    stage.settle()
    assert stage.leg(1, "ETH").added_price is None
    assert stage.held("ETH") == 0
