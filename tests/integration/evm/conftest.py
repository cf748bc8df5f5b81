"""One node for the tests of on-chain wallets, and a chain on it that every test finds as it was made."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import LazySettings

from core.clock import WorldTime
from tests.integration.evm.anvil import MULTICALL, Anvil, anvil_find
from traders.domain.reads import ReadResult, TraderRead
from traders.reading import read_loop_close
from traders.sources.evm import EvmSource

WALLET = "0x00000000000000000000000000000000000a11ce"
OTHER = "0x0000000000000000000000000000000000000b0b"
ETHER = 10**18


@pytest.fixture(scope="session")
def anvil_program() -> Path:
    """The node's program. Without it these tests are skipped loudly, and fail in CI."""
    found = anvil_find()
    if found is not None:
        return found
    reason = "no local Ethereum node: run scripts/install.py --dev on a machine with npm"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason}; CI must run the tests of on-chain wallets")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node(anvil_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """One node for all tests."""
    started = Anvil(anvil_program, log=tmp_path_factory.mktemp("anvil") / "anvil.log")
    yield started
    started.stop()


@dataclass
class LocalChain:
    """What the tests' chain is: the file of chains is written from this."""

    anvil: Anvil
    settings: Any
    path: Path
    multicall: str = MULTICALL
    confirmations: int = 0
    still_s: int = 3600
    chain_id: int = 31337
    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    before: dict[str, TraderRead] = field(default_factory=dict)

    def write(self) -> None:
        """Write the file and have it read."""
        chain = {
            "name": "Local",
            "chain_id": self.chain_id,
            "native": {"code": "ETH", "feed": "ETH"} if "ETH" in self.feeds else {"code": "ETH"},
            "multicall": self.multicall,
            "confirmations": self.confirmations,
            "still_s": self.still_s,
            "feeds": self.feeds,
            "tokens": self.tokens,
        }
        number = len(list(self.path.iterdir()))
        file = self.path / f"chains_{number}.yaml"  # a file is read once
        file.write_text(yaml.safe_dump({"local": chain}))
        self.settings.EVM_CHAINS_FILE = file
        self.settings.EVM_RPC = {"local": self.anvil.url}

    def feed(self, name: str, price: int, *, heartbeat_s: int = 3600) -> str:
        """Deploy a feed of 8 decimals and list it."""
        address = self.anvil.feed(price * 10**8)
        self.feeds[name] = {"address": address, "heartbeat_s": heartbeat_s}
        return address

    def token(self, code: str, address: str, *, decimals: int = 18, **fields: Any) -> str:
        """List a token."""
        self.tokens[code] = {"address": address, "decimals": decimals, **fields}
        return address

    @property
    def now(self) -> datetime:
        """A moment just after the newest block."""
        return datetime.fromtimestamp(self.anvil.time_s(), tz=UTC) + timedelta(seconds=1)

    def read(self, *wallets: str, now: datetime | None = None, max_wait_s: float = 5.0) -> list[ReadResult]:
        """Read wallets once with a new source; ``before`` holds what was read of them last, by address."""
        self.write()
        return self.reads(lambda source: source, wallets or (WALLET,), now=now, max_wait_s=max_wait_s)

    def reads(
        self,
        prepared: Callable[[EvmSource], EvmSource],
        wallets: tuple[str, ...],
        *,
        now: datetime | None = None,
        max_wait_s: float = 5.0,
    ) -> list[ReadResult]:
        at = now or self.now
        clock = WorldTime(world="live", run=1, anchored_at=at, world_anchor_at=at)

        async def whole() -> list[ReadResult]:
            source = prepared(EvmSource())
            source._before |= {f"local:{wallet}": read for wallet, read in self.before.items()}
            try:
                keys = [f"local:{wallet}" for wallet in wallets]
                return await source.read(keys, clock=clock, now=at, max_wait_s=max_wait_s)
            finally:
                await source.close()

        return asyncio.run(whole())


@pytest.fixture
def local(node: Anvil, settings: LazySettings, tmp_path: Path, redis_client: object) -> Iterator[LocalChain]:
    """A chain with Multicall3, ETH at 2,000 and a stablecoin, and nothing in the wallets."""
    before = node.rpc("evm_snapshot")
    node.multicall()
    chain = LocalChain(anvil=node, settings=settings, path=tmp_path)
    chain.feed("ETH", 2000)
    yield chain
    assert node.rpc("evm_revert", before)


@pytest.fixture(autouse=True)
def _loops_closed() -> Iterator[None]:
    yield
    read_loop_close()
