"""FOL-1, FOL-2, SYN-5: an on-chain wallet as a trader: named, previewed, read once, closed by no fork."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.errors import InputError
from markets.models import LIVE
from markets.recordings import recording_get
from markets.services import instruments_ensure
from tests.integration.evm.conftest import ETHER, OTHER, WALLET, LocalChain
from tests.replaying import StillClock
from traders.models import QuarantinedRead, Trader, TraderSnapshot
from traders.services import trader_find_or_create, trader_identify, trader_preview
from traders.sync import SyncOutcome, sync_due

pytestmark = pytest.mark.django_db
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def sync(at: datetime, **options: Any) -> SyncOutcome:
    return sync_due(now=at, clock=StillClock(at), chance=lambda: 0.0, **options)


def latest(trader: Trader) -> TraderSnapshot:
    trader.refresh_from_db()
    assert trader.latest_snapshot is not None
    return trader.latest_snapshot


@pytest.fixture
def chain(local: LocalChain) -> LocalChain:
    """The local chain, written to its file, and the instruments that are known."""
    instruments_ensure(instruments=recording_get(name="replay:alpha_arena").instruments)
    local.write()
    return local


def test_a_wallet_is_named_by_chain_and_address(chain: LocalChain) -> None:
    """FOL-3: capitals and spaces do not matter; the key is one and the same."""
    identity = trader_identify(kind="evm", key=f" Local:{MIXED} ")
    assert identity.key == f"local:{MIXED.lower()}"
    assert identity.detail == "0x5aae…eaed, wallet on Local"
    assert identity.world == LIVE
    assert "is not counted" in identity.note


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (WALLET, "Write the chain before the address, such as local:0x…. Chains: local."),
        (f"moon:{WALLET}", "There is no chain named “moon” here. Chains: local."),
        ("local:vitalik.eth", "Names such as vitalik.eth are not looked up here"),
        ("local:0x1234", "'0x1234' is not a wallet address"),
        (f"local:{MIXED.replace('5aAe', '5aae')}", "is mistyped: its capital letters are a checksum"),
    ],
)
def test_what_is_no_wallet_is_said(chain: LocalChain, key: str, problem: str) -> None:
    """FOL-3: each with what to do instead, at the field."""
    with pytest.raises(InputError) as caught:
        trader_identify(kind="evm", key=key)
    assert problem in caught.value.message
    assert caught.value.field == "key"


def test_a_chain_without_a_node_is_off(chain: LocalChain) -> None:
    """CFG-1: nothing is asked of anybody by default."""
    chain.settings.EVM_RPC = {}
    with pytest.raises(InputError, match=r"Local is switched off on this server.*EVM_RPC_LOCAL"):
        trader_identify(kind="evm", key=f"local:{WALLET}")
    assert not Trader.objects.exists()


def test_preview_shows_what_would_be_copied(chain: LocalChain) -> None:
    """FOL-1: equity, positions and what is not counted, before anything is followed."""
    chain.anvil.give(WALLET, ETHER)
    chain.token("LIAR", "0x" + "66" * 20)
    chain.write()
    preview = trader_preview(kind="evm", key=f"local:{WALLET}", now=chain.now)
    assert preview.equity == 2000
    assert [(p.code, p.exposure) for p in preview.positions] == [("ETH", 1)]
    assert preview.notes == ("LIAR is left out: it does not say how many decimals it has.",)
    assert preview.trader_id is None
    assert not Trader.objects.exists()


def test_an_empty_wallet_is_refused(chain: LocalChain) -> None:
    """FOL-1: most often it is the wrong chain or a typing error."""
    with pytest.raises(InputError, match="holds nothing of what is read on that chain"):
        trader_preview(kind="evm", key=f"local:{OTHER}", now=chain.now)


def test_one_wallet_is_one_trader_and_all_of_a_chain_are_one_look(chain: LocalChain) -> None:
    """FOL-2: the second follower makes no second trader; three wallets of a chain are read in one block."""
    chain.anvil.give(WALLET, ETHER)
    at = chain.now
    first = trader_find_or_create(kind="evm", key=f"local:{WALLET}", now=at)
    assert (
        trader_find_or_create(kind="evm", key=f"local:{WALLET.upper().replace('0X', '0x')}", now=at) == first
    )
    assert first.owner is None
    for number in range(2):
        trader_find_or_create(kind="evm", key=f"local:0x{number:040x}", now=at)
    outcome = sync(at)
    assert len(outcome.synced_ids) == 3
    assert outcome.quarantined_ids == []
    snapshot = latest(first)
    assert snapshot.equity == 2000
    assert snapshot.origin["block"] == chain.anvil.height()
    assert {row.origin["hash"] for row in TraderSnapshot.objects.all()} == {snapshot.origin["hash"]}


def test_entry_price_is_kept_from_sync_to_sync(chain: LocalChain) -> None:
    """FOL-3: the price at which it was first seen, however the price moves then."""
    chain.anvil.give(WALLET, ETHER)
    trader = trader_find_or_create(kind="evm", key=f"local:{WALLET}", now=chain.now)
    sync(chain.now)
    chain.anvil.feed_round(chain.feeds["ETH"]["address"], answer=2500 * 10**8, at_s=chain.anvil.time_s())
    Trader.objects.update(next_sync_at=chain.now)
    sync(chain.now + timedelta(seconds=61))
    (position,) = latest(trader).positions
    assert (position["entry_price"], position["mark_price"]) == ("2000", "2500")
    assert latest(trader).equity == 2500


def test_a_reorganisation_closes_nothing_before_a_second_look(chain: LocalChain) -> None:
    """SYN-5: the purchase is gone with its block; the old snapshot stands until that is seen twice."""
    fork = chain.anvil.rpc("evm_snapshot")
    chain.anvil.give(WALLET, ETHER)
    trader = trader_find_or_create(kind="evm", key=f"local:{WALLET}", now=chain.now)
    sync(chain.now)
    before = latest(trader)
    assert chain.anvil.rpc("evm_revert", fork)
    chain.anvil.multicall()
    chain.anvil.give(OTHER, 1)
    chain.anvil.mine(5)
    at = chain.now + timedelta(seconds=61)
    Trader.objects.update(next_sync_at=at)
    outcome = sync(at)
    assert outcome.quarantined_ids == [trader.pk]
    assert latest(trader) == before
    (doubted,) = QuarantinedRead.objects.all()
    assert "Local was reorganised" in doubted.reason
    at += timedelta(seconds=5)
    outcome = sync(at)
    assert outcome.changed_trader_ids == [trader.pk]
    assert latest(trader).positions == []
    doubted.refresh_from_db()
    assert doubted.confirmed_at == at


def test_a_coin_whose_underlying_is_known_is_no_unknown_instrument(chain: LocalChain) -> None:
    """CON-1: WETH is ETH beneath, so it needs no second look."""
    token = chain.token("WETH", chain.anvil.token(ETHER), feed="ETH")
    chain.anvil.transfer(token, WALLET, ETHER)
    chain.write()
    trader = trader_find_or_create(kind="evm", key=f"local:{WALLET}", now=chain.now)
    outcome = sync(chain.now)
    assert outcome.quarantined_ids == []
    assert Decimal(latest(trader).positions[0]["quantity"]) == 1
