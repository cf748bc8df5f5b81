"""FOL-3: vaults as traders, deposits in vaults and staked HYPE, with recorded answers where there are any."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from tests.integration.sync.test_hyperliquid_source import WALLET, read
from tests.loopback.running import HyperliquidProcess, perp_state
from traders.domain.reads import TraderRead

pytestmark = pytest.mark.usefixtures("redis_client", "room")
RECORDED = Path(__file__).resolve().parents[2] / "data" / "hyperliquid_info"
EQUITIES = json.loads((RECORDED / "userVaultEquities__mainnet__00__hyperliquid-python-sdk.json").read_text())[
    "response_body"
]
DEPOSITED = Decimal("688536.0314879999") + Decimal("100.003834")
ACCOUNT = Decimal("1182.312496") + Decimal("100.5")
STAKED = '{"delegated":"100.5","undelegated":"1.0","totalPendingWithdrawal":"0.5","nPendingWithdrawals":1}'
HYPE = Decimal("28.7265")
HLP = "0xdfc24b077bc1425ad1dea75bcb6f8158e10df303"
CHILDREN = ("0x010461c14e146ac35fe42271bdc1134ee31c703a", "0x31ca8395cf837de08b24da3f660e77761dfb974b")
ASIDE = ("userVaultEquities", "delegatorSummary", "vaultDetails")


@pytest.fixture
def room(settings: LazySettings) -> None:
    """A budget in which nobody waits."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 100_000


def good(now: datetime, key: str = WALLET) -> TraderRead:
    """Read a wallet that can be read."""
    (result,) = read(now, key)
    assert result.read is not None, result.failure
    return result.read


def asked(venue: HyperliquidProcess) -> list[int]:
    """Return how often each thing beside the account was asked for."""
    counts = venue.stats()["asked"]
    return [counts.get(kind, 0) for kind in ASIDE]


def test_recorded_deposits_in_vaults_count_as_equity(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """Target: what lies in two vaults is equity, said beside the trader, and no position."""
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": EQUITIES})
    state = good(now)
    assert state.equity == round(ACCOUNT + DEPOSITED, 8)
    assert len(state.positions) == 12
    assert state.notes == ("$688,636.04 in 2 of other traders' vaults count as equity.",)


def test_staked_hype_counts_at_its_price(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """Target: delegated, undelegated and on its way out, at the venue's mid."""
    hyperliquid.script(answers={f"delegatorSummary|{WALLET}|": STAKED})
    state = good(now)
    assert state.equity == ACCOUNT + 102 * HYPE
    assert state.notes == ("102 staked HYPE, $2,930.10, count as equity.",)


def test_a_wallet_without_anything_beside_it_is_asked_every_six_hours(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """SYN-3: from the second read on it costs its two requests, as before."""
    assert good(now).notes == ()
    assert asked(hyperliquid) == [1, 1, 1]
    before = hyperliquid.stats()
    good(now + timedelta(hours=5, minutes=59))
    after = hyperliquid.stats()
    assert after["weight"] - before["weight"] == 4
    good(now + timedelta(hours=6))
    assert asked(hyperliquid) == [2, 2, 1]


def test_a_wallet_with_deposits_is_asked_every_ten_minutes(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """SYN-3, SYN-5: and what it is, once a day; that all is gone is believed when it is said twice."""
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": EQUITIES})
    good(now)
    good(now + timedelta(minutes=9, seconds=59))
    assert asked(hyperliquid) == [1, 1, 1]
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": "[]"})
    assert good(now + timedelta(minutes=10)).equity == round(ACCOUNT + DEPOSITED, 8)
    assert good(now + timedelta(minutes=10, seconds=59)).equity == round(ACCOUNT + DEPOSITED, 8)
    assert asked(hyperliquid) == [2, 2, 1]
    assert good(now + timedelta(minutes=11)).equity == ACCOUNT
    assert asked(hyperliquid) == [3, 3, 1]
    good(now + timedelta(hours=24, minutes=11))
    assert asked(hyperliquid) == [4, 4, 2]


def test_money_that_moved_is_looked_for(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """Target: half the account went into a vault; within six hours nobody would have asked."""
    hyperliquid.script(answers={f"clearinghouseState|{WALLET}|": perp_state(account_value="10000.0")})
    assert good(now).equity == Decimal("10100.5")
    hyperliquid.script(
        answers={
            f"clearinghouseState|{WALLET}|": perp_state(account_value="5000.0"),
            f"userVaultEquities|{WALLET}|": f'[{{"vaultAddress":"{HLP}","equity":"5000.0"}}]',
        }
    )
    assert good(now + timedelta(minutes=2)).equity == Decimal("10100.5")


def test_without_an_answer_the_account_is_read_all_the_same(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """SYN-4: what lies beside is worth waiting for, not failing for; an old answer stands for a day."""
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": "<html>"})
    assert good(now).equity == ACCOUNT
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": EQUITIES})
    assert good(now + timedelta(minutes=2)).equity == round(ACCOUNT + DEPOSITED, 8)
    hyperliquid.script(answers={f"userVaultEquities|{WALLET}|": '[{"vaultAddress":"0x1","equity":"NaN"}]'})
    assert good(now + timedelta(minutes=20)).equity == round(ACCOUNT + DEPOSITED, 8)


def test_a_budget_without_room_is_not_spent_on_it(
    hyperliquid: HyperliquidProcess, now: datetime, settings: LazySettings
) -> None:
    """SYN-3: the sync of everybody comes first."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 600  # a burst of 50, less than what is asked first
    assert good(now).equity == ACCOUNT
    assert asked(hyperliquid) == [0, 0, 0]


def vault(name: str, *children: str) -> str:
    """Return the documented answer about a vault."""
    kind: dict[str, Any] = {"type": "normal"}
    if children:
        kind = {"type": "parent", "data": {"childAddresses": list(children)}}
    leader = "0x677d831aef5328190852e24f13c46cac05f984e7"
    return json.dumps({"name": name, "vaultAddress": HLP, "leader": leader, "relationship": kind})


def test_a_vault_is_followed_by_its_address(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """FOL-3: its state is its own; its name and leader are said."""
    hyperliquid.script(answers={f"vaultDetails|{HLP}|": vault("Growi HF")})
    state = good(now, HLP)
    assert state.equity == ACCOUNT
    assert state.notes == ("This is the vault “Growi HF”, led by 0x677d…84e7.",)


def test_vaults_that_trade_for_a_vault_are_read_with_it_and_netted(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """FOL-3: 3 BTC long at 60,000 and 1 long at 64,000 against 1 short are 3 long at 61,000; counted once."""
    hyperliquid.script(
        answers={
            f"vaultDetails|{HLP}|": vault("HLP", *CHILDREN),
            f"userVaultEquities|{HLP}|": json.dumps(
                [{"vaultAddress": child, "equity": "50000.0"} for child in CHILDREN]
            ),
            f"clearinghouseState|{HLP}|": perp_state(
                ("BTC", "-1.0", "70000.0", "65000.0"), account_value="10.0"
            ),
            f"clearinghouseState|{CHILDREN[0]}|": perp_state(
                ("BTC", "3.0", "60000.0", "195000.0"),
                ("ETH", "2.0", "3000.0", "6100.0"),
                account_value="40000.0",
            ),
            f"clearinghouseState|{CHILDREN[1]}|": perp_state(
                ("BTC", "1.0", "64000.0", "65000.0"),
                ("ETH", "-2.0", "3000.0", "6100.0"),
                account_value="60000.0",
            ),
        }
    )
    state = good(now, HLP)
    assert state.equity == 10 + Decimal("100.5") + 100_000
    (position,) = state.positions
    assert (position.code, position.quantity, position.entry_price, position.mark_price) == (
        "BTC", 3, 61000, 65000,
    )  # fmt: skip
    assert state.notes == (
        "This is the vault “HLP”, led by 0x677d…84e7.",
        "2 vaults trade for it and are read with it.",
    )
    before = hyperliquid.stats()["weight"]
    good(now + timedelta(minutes=1), HLP)
    assert hyperliquid.stats()["weight"] - before == 8
    hyperliquid.script(answers={f"vaultDetails|{HLP}|": "null"})
    state = good(now + timedelta(hours=25), HLP)
    assert asked(hyperliquid) == [2, 2, 2]
    assert [position.code for position in state.positions] == ["BTC"]
