"""A made-up live world, and a stand-in for the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.engine.stage import NOW, Stage, stage_open
from tests.integration.live.stand import FarVenue, venue_stand_in
from tests.stateful.worlds import MadeUpWorld, ScriptedSource
from traders.reading import read_loop_close


@pytest.fixture
def made_up(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpWorld]:
    """A live world with instruments, prices and traders of our own, read by the real sync."""
    play, source = MadeUpWorld(now=NOW), ScriptedSource()
    source.play = play
    read_loop_close()
    monkeypatch.setattr("traders.reading.source_make", lambda *, kind: source)
    yield play
    read_loop_close()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FarVenue:
    """The stand-in exchange, on a server that trades live."""
    settings.LIVE_TRADING = True
    return venue_stand_in(monkeypatch)


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """Alice's perpetual portfolio of 10,000 that follows one trader."""
    return stage_open(play=made_up, owner=alice, traders=1)
