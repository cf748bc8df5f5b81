"""A quarter of a minute of the hour that `make soak` is for (SYN-3, SYN-4, SYN-5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.faults.soak import Soak
from tests.faults.wallets import Wallets
from tests.loopback.running import HyperliquidProcess


@pytest.fixture
def venue() -> Iterator[HyperliquidProcess]:
    """The loopback venue, for one test."""
    running = HyperliquidProcess()
    yield running
    running.stop()


@pytest.mark.faults
@pytest.mark.slow
def test_a_quarter_of_a_minute_of_faults_closes_nothing(venue: HyperliquidProcess) -> None:
    """SYN-4, SYN-5: the soak itself asserts what must hold; here it is too short for its rate of errors."""
    soak = Soak(venue=venue, seed=7, wallets=17, interval_s=10, error_rate=0.25)
    try:
        told = soak.run(minutes=0.25)
    finally:
        soak.site.stop()
    assert told["snapshots"] >= 17
    assert told["faults"] > 0
    assert told["wrong_reads"] == 0


def test_a_read_that_was_never_so_is_found(venue: HyperliquidProcess) -> None:
    """SYN-5: what the wallet held just before counts as true, what it held long ago or never does not."""
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    wallets = Wallets(venue, 1, 3)
    wallets.open(at)
    key = wallets.keys[0]
    first = dict(wallets.truth[key][0][1])
    wallets.move(at + timedelta(seconds=60))
    second = dict(wallets.truth[key][1][1])
    assert first != second
    later = at + timedelta(seconds=61)
    assert wallets.wrong([(key, later, first), (key, later, second), (key, at, first)]) == []
    assert len(wallets.wrong([(key, later, {}), (key, at + timedelta(hours=1), first)])) == 2
    assert len(wallets.wrong([(key, later, {**second, "BTC": Decimal(7)})])) == 1
