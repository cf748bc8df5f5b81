"""Shared by integration tests: the loopback venue."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.loopback.running import HyperliquidProcess


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
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 100_000  # tests of the budget set their own
    return loopback_process
