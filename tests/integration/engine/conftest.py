"""A replay of the four AI traders under the test's control."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from markets.recordings import ALPHA_ARENA
from tests.integration.engine.stage import NOW
from tests.replaying import ReplayDriver
from tests.stateful.worlds import MadeUpWorld, ScriptedSource
from traders.reading import read_loop_close


@pytest.fixture
def arena(db: None) -> ReplayDriver:
    """The Alpha Arena world at its first moment, 17 Oct 2025 22:00 UTC."""
    return ReplayDriver(ALPHA_ARENA).start()


@pytest.fixture
def made_up(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpWorld]:
    """A live world with instruments, prices and traders of our own, read by the real sync."""
    play, source = MadeUpWorld(now=NOW), ScriptedSource()
    source.play = play
    read_loop_close()
    monkeypatch.setattr("traders.reading.source_make", lambda *, kind: source)
    yield play
    read_loop_close()
