"""The measuring process of `benchmarks.evm`: `python -m benchmarks._evm_run` prints JSON."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import yaml  # noqa: E402
from django.conf import settings  # noqa: E402
from web3 import AsyncHTTPProvider, AsyncWeb3  # noqa: E402

from core.clock import WorldTime  # noqa: E402
from tests.integration.evm.anvil import MULTICALL, Anvil, anvil_find  # noqa: E402
from tests.services import services_ensure  # noqa: E402
from tests.settings import TEST_RUN_PID, TEST_VAR  # noqa: E402
from traders.sources.evm import EvmSource  # noqa: E402

TOKENS: Final = 30
MANY: Final = 25
ROUNDS: Final = 15
ETHER: Final = 10**18
BALANCE_OF: Final = [
    {
        "name": "balanceOf",
        "type": "function",
        "stateMutability": "view",
        "inputs": [{"name": "account", "type": "address"}],
        "outputs": [{"name": "", "type": "uint256"}],
    }
]


def chain_make(node: Anvil, wallet: str, directory: Path) -> list[str]:
    """Deploy feeds and tokens, give the wallet some of each, write the file of chains; return the tokens."""
    node.multicall()
    node.give(wallet, ETHER)
    feeds = {f"F{number}": node.feed((number + 1) * 10**8) for number in range(TOKENS)}
    tokens = {f"T{number}": node.token(100 * ETHER) for number in range(TOKENS)}
    for token in tokens.values():
        node.transfer(token, wallet, ETHER)
    chain: dict[str, Any] = {
        "name": "Local",
        "chain_id": 31337,
        "native": {"code": "ETH", "feed": "F0"},
        "multicall": MULTICALL,
        "confirmations": 0,
        "still_s": 3600,
        "feeds": {name: {"address": address, "heartbeat_s": 86400} for name, address in feeds.items()},
        "tokens": {
            code: {"address": address, "decimals": 18, "feed": code.replace("T", "F")}
            for code, address in tokens.items()
        },
    }
    file = directory / "chains.yaml"
    file.write_text(yaml.safe_dump({"local": chain}))
    settings.EVM_CHAINS_FILE = file
    settings.EVM_RPC = {"local": node.url}
    settings.EVM_REQUESTS_PER_MINUTE = 1_000_000
    return list(tokens.values())


async def looks_timed(node: Anvil, wallets: list[str]) -> float:
    """Return the milliseconds of one read of these wallets, median."""
    now = datetime.fromtimestamp(node.time_s() + 1, tz=UTC)
    clock = WorldTime(world="live", run=1, anchored_at=now, world_anchor_at=now)
    source, keys, taken_ms = EvmSource(), [f"local:{wallet}" for wallet in wallets], []
    try:
        for _ in range(ROUNDS):
            begun_s = time.perf_counter()
            results = await source.read(keys, clock=clock, now=now, max_wait_s=5)
            taken_ms.append((time.perf_counter() - begun_s) * 1000)
            if results[0].read is None or len(results[0].read.positions) != TOKENS + 1:
                raise RuntimeError(f"the wallet was not read as it is: {results[0].failure}")
    finally:
        await source.close()
    return median(taken_ms)


async def calls_timed(node: Anvil, wallet: str, tokens: list[str]) -> float:
    """Return the milliseconds of the wallet's balances by one web3 call each, median."""
    provider = AsyncHTTPProvider(node.url)
    web3 = AsyncWeb3(provider)
    address = web3.to_checksum_address(wallet)
    contracts = [
        web3.eth.contract(address=web3.to_checksum_address(token), abi=BALANCE_OF) for token in tokens
    ]
    taken_ms = []
    try:
        for _ in range(ROUNDS):
            begun_s = time.perf_counter()
            held = [await web3.eth.get_balance(address)]
            for contract in contracts:
                held.append(await contract.functions.balanceOf(address).call())  # noqa: PERF401
            taken_ms.append((time.perf_counter() - begun_s) * 1000)
            if set(held) != {ETHER}:
                raise RuntimeError("the calls did not read the wallet as it is")
    finally:
        await provider.disconnect()
    return median(taken_ms)


def main() -> None:
    """Measure on a node of this run's own."""
    program = anvil_find()
    if program is None:
        raise RuntimeError(
            "there is no local Ethereum node: run scripts/install.py --dev on a machine with npm"
        )
    services_ensure(var_dir=TEST_VAR, run_pid=TEST_RUN_PID)
    wallets = [f"0x{number:040x}" for number in range(0xA11CE, 0xA11CE + MANY)]
    with TemporaryDirectory() as directory:
        node = Anvil(program, log=Path(directory) / "anvil.log")
        try:
            tokens = chain_make(node, wallets[0], Path(directory))
            told = {
                "look_ms": asyncio.run(looks_timed(node, wallets[:1])),
                "calls_ms": asyncio.run(calls_timed(node, wallets[0], tokens)),
                "many_ms": asyncio.run(looks_timed(node, wallets)) / MANY,
            }
        finally:
            node.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
