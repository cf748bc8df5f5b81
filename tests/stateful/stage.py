"""Who stands in for the world outside while random lives are walked."""

from __future__ import annotations

from typing import Any

from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs
from engine.domain.plan_types import CopyPlan
from tests.stateful.weather import WeatherVenue
from tests.stateful.worlds import ScriptedSource
from tests.unit.decide.walk import plan_checked
from traders.sources.replay import ReplaySource

SOURCE = ScriptedSource()
VENUE = WeatherVenue()


def source_make(*, kind: Any) -> Any:
    """Return the source of recorded traders, or of those made up."""
    return ReplaySource() if kind == "replay" else SOURCE


def plan_with_proof(*, inputs: CopyInputs) -> CopyPlan:
    """Decide as ever, and check the plan against its own inputs where all of it has a price."""
    plan = copy_plan(inputs=inputs)
    if all(net.underlying in inputs.markets for net in plan.nets):
        return plan_checked(inputs)
    return plan
