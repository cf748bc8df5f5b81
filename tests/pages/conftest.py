"""Alice's portfolio and a signed-in client for each of the cast; a loopback Hyperliquid for previews."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Portfolio
from core.clock import utc_now
from engine.portfolios import portfolio_open
from tests.loopback.running import HyperliquidProcess
from traders.reading import read_loop_close


@pytest.fixture
def portfolio(alice: Any) -> Portfolio:
    """Alice's own, perp policy, balanced limits, 10,000 of paper cash, nobody followed."""
    return portfolio_open(
        owner=alice,
        initial_cash=Decimal(10000),
        now=utc_now(),
        name="Arena",
        policy="perp",
        risk_profile="balanced",
    )


@pytest.fixture
def page(alice: Any, client_of: Callable[[Any], Client]) -> Client:
    """A client signed in as Alice."""
    return client_of(alice)


@pytest.fixture(autouse=True)
def _loops_closed() -> Iterator[None]:
    yield
    read_loop_close()


@pytest.fixture(scope="session")
def loopback_process() -> Iterator[HyperliquidProcess]:
    """One loopback Hyperliquid for all tests of a run."""
    process = HyperliquidProcess()
    yield process
    process.stop()


@pytest.fixture
def hyperliquid(loopback_process: HyperliquidProcess, settings: Any) -> HyperliquidProcess:
    """The loopback Hyperliquid, in its first state, as the venue this test's code talks to."""
    loopback_process.script(reset=True)
    settings.HYPERLIQUID_URL = loopback_process.url
    return loopback_process
