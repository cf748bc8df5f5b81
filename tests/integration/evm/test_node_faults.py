"""SYN-3, SYN-5: a node that is paused, stands still, or whose chain was reorganised."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.evm.anvil import Anvil
from tests.integration.evm.conftest import ETHER, WALLET, LocalChain
from traders.domain.reads import FailureKind, ReadFailure
from traders.evm import rpc


def failure_of(local: LocalChain, **options: Any) -> ReadFailure:
    """Read the wallet and expect no read."""
    (result,) = local.read(**options)
    assert result.read is None
    assert result.failure is not None
    return result.failure


@pytest.fixture
def second_node(anvil_program: Path, tmp_path: Path) -> Iterator[Anvil]:
    """A node of this test's own."""
    started = Anvil(anvil_program, log=tmp_path / "anvil.log")
    yield started
    started.stop()


def test_a_paused_node_is_a_failure(
    local: LocalChain, second_node: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYN-4: it takes the connection and never answers; the read ends by itself."""
    monkeypatch.setattr(rpc, "REQUEST_TIMEOUT_S", 0.5)
    now = local.now
    local.anvil = second_node
    second_node.pause()
    failure = failure_of(local, now=now)
    assert failure == ReadFailure(
        FailureKind.FAILED, "the Local node at 127.0.0.1 gave no answer within 0.5 s"
    )


def test_a_node_that_stands_still_is_a_failure(local: LocalChain) -> None:
    """SYN-5: its newest block is older than the chain ever lets pass; old balances are no news."""
    local.anvil.give(WALLET, ETHER)
    local.still_s = 60
    height, at = local.anvil.height(), local.now
    assert local.read(now=at)[0].read is not None
    failure = failure_of(local, now=at + timedelta(seconds=90))
    assert failure.reason == f"the Local node stands still at block {height}, 91 s old"


def test_a_reorganisation_is_doubted_and_closes_nothing(local: LocalChain) -> None:
    """SYN-5: the block that showed 1 ETH is gone; the read that shows nothing asks for a second look."""
    fork = local.anvil.rpc("evm_snapshot")
    local.anvil.give(WALLET, ETHER)
    (result,) = local.read()
    assert result.read is not None
    assert result.read.quantities() == {"ETH": Decimal(1)}
    local.before[WALLET] = result.read
    gone = result.read.origin["block"]
    assert local.anvil.rpc("evm_revert", fork)
    local.multicall = local.anvil.multicall()
    local.anvil.mine(5)
    (result,) = local.read()
    assert result.read is not None
    assert result.read.positions == ()
    assert result.read.doubt == f"Local was reorganised: block {gone} that was read before is no longer in it"


def test_a_node_that_fell_behind_is_a_failure(local: LocalChain) -> None:
    """SYN-5: what it shows is older than what was read before."""
    fork = local.anvil.rpc("evm_snapshot")
    local.anvil.give(WALLET, ETHER)
    (result,) = local.read()
    assert result.read is not None
    local.before[WALLET] = result.read
    at = local.now
    assert local.anvil.rpc("evm_revert", fork)
    failure = failure_of(local, now=at)
    assert failure.kind is FailureKind.FAILED
    assert f"behind block {result.read.origin['block']} that was read before" in failure.reason


def test_a_node_that_cannot_be_reached_is_named_by_its_host_alone(local: LocalChain) -> None:
    """SEC-1: the address of a node may hold a secret."""
    now = local.now
    local.write()
    local.settings.EVM_RPC = {"local": "http://127.0.0.1:9/v3/secret-of-the-provider"}
    (result,) = local.reads(lambda source: source, (WALLET,), now=now)
    assert result.failure is not None
    assert result.failure.reason.startswith("the Local node at 127.0.0.1 cannot be reached")
    assert "secret" not in result.failure.reason


ANSWERS: dict[str, tuple[int, str, FailureKind, str]] = {
    "429": (429, "", FailureKind.RATE_LIMITED, "asked for a pause"),
    "limit in json": (
        200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"daily request limit"}}',
        FailureKind.RATE_LIMITED, "asked for a pause (daily request limit)",
    ),
    "502": (502, "bad gateway", FailureKind.FAILED, "answered with status 502"),
    "web page": (200, "<html>sign in</html>", FailureKind.FAILED, "did not answer in JSON-RPC"),
    "half a body": (200, '[{"jsonrpc":"2.0","id":0,', FailureKind.FAILED, "did not answer in JSON-RPC"),
    "empty list": (200, "[]", FailureKind.FAILED, "did not answer a batch of 2 requests"),
    "refused": (
        200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no such method"}}',
        FailureKind.FAILED, "refused a request: no such method (-32601)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_that_are_none(local: LocalChain, case: str) -> None:
    """SYN-3: each becomes a failure with its reason; a pause that was asked for is kept."""
    status, body, kind, words = ANSWERS[case]
    now = local.now
    local.write()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            status=status, text=body, content_type="application/json", headers={"Retry-After": "7"}
        )

    result = asyncio.run(_read_from(local, answer, now))
    assert result.read is None
    assert result.failure is not None
    assert result.failure.kind is kind
    assert words in result.failure.reason
    assert result.failure.retry_after_s == (7.0 if case == "429" else None)


async def _read_from(local: LocalChain, answer: Any, now: Any) -> Any:
    """Read the wallet from a server that answers everything alike."""
    from core.clock import WorldTime
    from traders.sources.evm import EvmSource

    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    local.settings.EVM_RPC = {"local": f"http://127.0.0.1:{port}/"}
    source = EvmSource()
    clock = WorldTime(world="live", run=1, anchored_at=now, world_anchor_at=now)
    try:
        (result,) = await source.read([f"local:{WALLET}"], clock=clock, now=now, max_wait_s=5)
        return result
    finally:
        await source.close()
        await runner.cleanup()


def test_without_room_in_the_budget_nothing_is_asked(local: LocalChain) -> None:
    """SYN-3: all processes together stay within the node's allowance."""
    local.settings.EVM_REQUESTS_PER_MINUTE = 12
    failure = failure_of(local, max_wait_s=0.01)
    assert failure.kind is FailureKind.DEFERRED
    assert "our request budget is spent" in failure.reason
