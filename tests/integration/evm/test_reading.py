"""FOL-3: wallets on a real node, through Multicall3 and without it, to the last decimal."""

from decimal import Decimal

import pytest

from tests.integration.evm.anvil import BALANCE_OF, DECIMALS, SUPPLY, says
from tests.integration.evm.conftest import ETHER, OTHER, WALLET, LocalChain
from traders.domain.reads import FailureKind


def whole_wallet(local: LocalChain) -> None:
    """Give the wallet 1.5 ETH, 2 WETH, 0.25 WBTC (8 decimals) and 1,000.5 USDC (6 decimals, at 0.999)."""
    local.anvil.give(WALLET, 3 * ETHER // 2)
    weth = local.token("WETH", local.anvil.token(100 * ETHER), feed="ETH")
    local.anvil.transfer(weth, WALLET, 2 * ETHER)
    local.feed("BTC", 60000)
    fixed = {DECIMALS: 8, SUPPLY: 21 * 10**14, BALANCE_OF: 25 * 10**6}
    local.token("WBTC", local.anvil.code("0x" + "b1" * 20, says(fixed)), decimals=8, feed="BTC")
    local.feeds["USDC"] = {"address": local.anvil.feed(99_900_000), "heartbeat_s": 86400}
    fixed = {DECIMALS: 6, SUPPLY: 10**15, BALANCE_OF: 1_000_500_000}
    local.token("USDC", local.anvil.code("0x" + "c1" * 20, says(fixed)), decimals=6, feed="USDC", stable=True)


@pytest.mark.parametrize("batch", [False, True], ids=["multicall", "batch"])
def test_a_wallet_is_read_to_the_last_decimal(local: LocalChain, batch: bool) -> None:
    """FOL-3: own coin and tokens priced by their feeds; the stablecoin is equity and no position."""
    whole_wallet(local)
    if batch:
        local.multicall = ""
    (result,) = local.read()
    assert result.failure is None
    assert result.read is not None
    assert result.read.equity == 3000 + 4000 + 15000 + Decimal("999.4995")
    assert [(p.code, p.quantity, p.entry_price, p.mark_price) for p in result.read.positions] == [
        ("ETH", Decimal("1.5"), Decimal(2000), Decimal(2000)),
        ("WBTC", Decimal("0.25"), Decimal(60000), Decimal(60000)),
        ("WETH", Decimal(2), Decimal(2000), Decimal(2000)),
    ]
    assert result.read.notes == ()
    assert result.read.doubt == ""
    assert result.read.origin == {
        "block": local.anvil.height(),
        "hash": local.anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"],
        "cash": {"USDC": ["1000.5", "0.999"]},
    }


def test_many_wallets_are_read_in_one_look(local: LocalChain) -> None:
    """FOL-2: each gets its own balances, however many share the calls."""
    token = local.token("WETH", local.anvil.token(100 * ETHER), feed="ETH")
    wallets = tuple(f"0x{number:040x}" for number in range(0xA000, 0xA000 + 60))
    for number, wallet in enumerate(wallets[:3], start=1):
        local.anvil.transfer(token, wallet, number * ETHER)
    results = local.read(*wallets)
    assert [result.read.equity for result in results if result.read] == [2000, 4000, 6000, *[0] * 57]
    assert {result.read.origin["block"] for result in results if result.read} == {local.anvil.height()}


def test_dust_is_no_position_but_is_counted(local: LocalChain) -> None:
    """FOL-3: under a dollar nothing is a position."""
    local.anvil.give(WALLET, ETHER // 2001)  # 0.99 dollars
    local.anvil.give(OTHER, ETHER // 1999)
    dust, held = local.read(WALLET, OTHER)
    assert dust.read is not None
    assert held.read is not None
    assert dust.read.positions == ()
    assert Decimal("0.99") < dust.read.equity < 1
    assert [position.code for position in held.read.positions] == ["ETH"]


def test_only_what_is_deep_enough_is_read(local: LocalChain) -> None:
    """SYN-5: with two confirmations, a balance set in the newest block is not seen before two more."""
    local.confirmations = 2
    local.anvil.give(WALLET, ETHER)
    (early,) = local.read()
    local.anvil.mine(2)
    (late,) = local.read()
    assert early.read is not None
    assert late.read is not None
    assert (early.read.equity, late.read.equity) == (0, 2000)
    assert late.read.origin["block"] == local.anvil.height() - 2


def test_a_node_of_another_chain_is_refused(local: LocalChain) -> None:
    """FOL-3: an address that leads to another chain would show another wallet."""
    local.chain_id = 1
    (result,) = local.read()
    assert result.read is None
    assert result.failure is not None
    assert result.failure.kind is FailureKind.FAILED
    assert "is of chain 31337, not 1: EVM_RPC_LOCAL is wrong" in result.failure.reason


def test_a_chain_without_a_node_is_a_failure_that_says_so(local: LocalChain) -> None:
    """FOL-3: it was switched off while it was followed."""
    local.write()
    local.settings.EVM_RPC = {}
    (result,) = local.reads(lambda source: source, (WALLET,))
    assert result.failure is not None
    assert "switched off on this server: EVM_RPC_LOCAL is empty" in result.failure.reason


def test_a_missing_multicall_is_named(local: LocalChain) -> None:
    """FOL-3: a wrong address in the file fails the read; it never reads as an empty wallet."""
    local.multicall = "0x" + "77" * 20
    local.anvil.give(WALLET, ETHER)
    (result,) = local.read()
    assert result.read is None
    assert result.failure is not None
    assert "no Multicall3" in result.failure.reason
