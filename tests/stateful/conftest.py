"""The stage on which random lives are walked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stateful.stage import VENUE, plan_with_proof, source_make
from traders.reading import read_loop_close


@pytest.fixture
def scripted(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the made-up traders, the weather and the proof of plans in their places."""
    read_loop_close()
    monkeypatch.setattr("traders.reading.source_make", source_make)
    monkeypatch.setattr("positions.services.venue_get", lambda **_: VENUE)
    monkeypatch.setattr("execution.orders.venue_get", lambda **_: VENUE)
    monkeypatch.setattr("engine.copy_cycle.copy_plan", plan_with_proof)
    yield
    read_loop_close()
