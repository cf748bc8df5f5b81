"""The venues that keep the contract: paper, and the loopback exchanges, one server of each per test run."""

from collections.abc import Iterator
from typing import Any

import pytest

from execution.venues.live_budget import BUDGETS
from execution.venues.live_line import OFFSETS, POOL
from tests.integration.venues.stands import (
    BinancePerpStand,
    BinanceSpotStand,
    HyperliquidStand,
    LoopbackStand,
    PaperStand,
    Stand,
)
from tests.loopback.binance_exchange import BinanceExchange
from tests.loopback.hyperliquid_exchange import HyperliquidExchange

LOOPBACKS = {
    "binance-perp": BinancePerpStand,
    "binance-spot": BinanceSpotStand,
    "hyperliquid": HyperliquidStand,
}


@pytest.fixture(scope="session")
def binance_exchange() -> Iterator[BinanceExchange]:
    """Binance on loopback."""
    exchange = BinanceExchange()
    yield exchange
    exchange.stop()


@pytest.fixture(scope="session")
def hyperliquid_exchange() -> Iterator[HyperliquidExchange]:
    """Hyperliquid on loopback."""
    exchange = HyperliquidExchange()
    yield exchange
    exchange.stop()


def stand_make(name: str, request: pytest.FixtureRequest) -> Stand:
    """Return a fresh stand."""
    request.getfixturevalue("db")
    if name == "paper":
        return PaperStand()
    exchange = request.getfixturevalue(f"{name.partition('-')[0]}_exchange")
    return LOOPBACKS[name](exchange, request.getfixturevalue("settings"))


@pytest.fixture
def _clients_closed() -> Iterator[None]:
    """Leave no connection and no measured clock behind."""
    yield
    POOL.close()
    OFFSETS.clear()
    BUDGETS.close()


@pytest.fixture(params=["paper", *LOOPBACKS])
def stand(request: pytest.FixtureRequest, _clients_closed: None) -> Stand:
    """Each venue in turn."""
    return stand_make(request.param, request)


@pytest.fixture(params=list(LOOPBACKS))
def live(request: pytest.FixtureRequest, _clients_closed: None) -> Any:
    """Each loopback exchange in turn."""
    made = stand_make(request.param, request)
    assert isinstance(made, LoopbackStand)
    return made
