"""What exchange accounts are worth and hold, to the last decimal, from four venues' answers (FOL-3)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from accounts.models import Credential, User
from accounts.sealing import AccountKeys, keys_seal
from core.clock import WorldTime
from core.types import TraderKind
from tests.integration.exchange.conftest import SECRET
from tests.loopback.running import ExchangesProcess
from traders.domain.reads import FailureKind, ReadResult, TraderPosition
from traders.reading import read_loop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instruments")]
Keys = Callable[..., Credential]


def read(key: str, now: datetime, *, max_wait_s: float = 5.0) -> ReadResult:
    """Read one account as the sync does."""
    clock = WorldTime(world="live", run=1, anchored_at=now, world_anchor_at=now)
    (result,) = read_loop().read(TraderKind.EXCHANGE, [key], clock=clock, now=now, max_wait_s=max_wait_s)
    return result


def holding(code: str, quantity: str, entry: str, mark: str) -> TraderPosition:
    return TraderPosition(code, D(quantity), D(entry), D(mark))


EXPECTED = {
    # BTC (0.6 + 0.4 in earn + 0.25 margin + 0.01 P&L) x 60000.10, USDT 2990.37345678, USDC 499.90,
    # FDUSD 99.90, LDO 20, BNB 0.50, EUR 110; XYZ has no price.
    "binance": (
        D("79320.79945678"),
        (
            holding("BTC", "1.2", "60000.1", "60000.1"),  # 1.25 of the coin, 0.15 long, 100 x -$100 at 50000
            holding("LDO", "10", "2", "2"),
            holding("kPEPE", "-1000", "0.01", "0.011"),
        ),
    ),
    # USDT 5000.50 with its P&L, BTC 0.3 x 60000, ETH 2 x 3000.
    "bybit": (
        D("29000.5"),
        (
            holding("BTC", "0.31", "60000", "60000"),  # +0.1 linear in USDC, -$6000 at 60000 inverse
            holding("ETH", "0.5", "3000", "3000"),
            holding("SOL", "10", "140", "150"),
            holding("kSHIB", "200", "0.02", "0.021"),
        ),
    ),
    # BTC 0.6 x 60000, USD 1000.50, USDC 250, staked ETH 3000.
    "coinbase": (
        D("40250.5"),
        (holding("BTC", "0.6", "60000", "60000"), holding("ETH", "1", "3000", "3000")),
    ),
    # USD 1000.25, BTC 0.6 x 60000, DOT 100, USDT 99.90, ETH 3000, DOGE 0.50, P&L 100.50; KFEE has no price.
    "kraken": (
        D("40301.15"),
        (
            holding("BTC", "0.5", "60000", "60000"),
            holding("DOT", "20", "5", "5"),
            holding("ETH", "1", "3000", "3000"),
        ),
    ),
}


@pytest.mark.parametrize("venue", EXPECTED)
def test_an_account_is_worth_and_holds_exactly_this(
    venue: str, exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """Equity counts everything once; positions are netted; cash, dust and what has no price are none."""
    key = f"{venue}:{key_of(alice, venue).pk}"
    result = read(key, now)
    assert result.failure is None
    assert result.read is not None
    equity, positions = EXPECTED[venue]
    assert result.read.equity == equity
    assert result.read.positions == positions
    assert result.read.world_at == now


@pytest.mark.parametrize("venue", EXPECTED)
def test_only_questions_are_asked_and_each_is_signed(
    venue: str, exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """A key is used for reading and nothing else: GETs, and the two POSTs that Kraken reads by."""
    read(f"{venue}:{key_of(alice, venue).pk}", now)
    stats = exchanges.stats()
    posts = {name for name in stats["asked"] if not name.startswith("GET ")}
    kraken = {"POST api.kraken.com/0/private/Balance", "POST api.kraken.com/0/private/OpenPositions"}
    assert posts == (kraken if venue == "kraken" else set())
    assert stats["unsigned"] == []
    assert all(count == 1 for count in stats["asked"].values())
    assert not any("Referer" in head or SECRET in str(head) for head in stats["heads"])


def test_spot_only_asks_nothing_of_contracts(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """Who has no futures account says so, and it is not asked for."""
    result = read(f"binance:{key_of(alice, 'binance').pk}:spot", now)
    assert result.read is not None
    assert result.read.equity == D("61730.52345678")  # 1 BTC, 1000.12345678 USDT, and the rest as above
    assert [position.code for position in result.read.positions] == ["BTC", "LDO"]
    assert {*exchanges.stats()["asked"]} == {
        "GET api.binance.com/api/v3/account",
        "GET api.binance.com/api/v3/ticker/price",
    }


@pytest.mark.parametrize(
    ("rule", "kind", "says"),
    [
        ({"path": "positionRisk", "do": "500"}, FailureKind.FAILED, "binance"),
        ({"path": "dapi/v1/account", "do": "cut"}, FailureKind.FAILED, "binance"),
        ({"path": "api/v3/account", "do": "half"}, FailureKind.FAILED, "binance"),
        ({"path": "api/v3/account", "do": "cut_json"}, FailureKind.FAILED, "cannot be read"),
        ({"path": "api/v3/account", "do": "nonsense"}, FailureKind.FAILED, "cannot be read"),
        ({"path": "fapi/v3/account", "do": "html"}, FailureKind.FAILED, "cannot be read"),
        ({"path": "ticker/price", "do": "nonsense"}, FailureKind.FAILED, "prices cannot be read"),
        (
            {"path": "api/v3/account", "do": "400", "body": {"code": -1021, "msg": "Timestamp ahead"}},
            FailureKind.FAILED,
            "Set this machine's clock",
        ),
        (
            {"path": "fapi/v3/account", "do": "401", "body": {"code": -2015, "msg": "Invalid API-key"}},
            FailureKind.FAILED,
            "does not let this key read the account",
        ),
        ({"path": "api/v3/account", "do": "429"}, FailureKind.RATE_LIMITED, "asks for a pause"),
        ({"path": "api/v3/account", "do": "418"}, FailureKind.RATE_LIMITED, "asks for a pause"),
    ],
)
def test_half_an_account_is_no_account(
    exchanges: ExchangesProcess,
    now: datetime,
    alice: User,
    key_of: Keys,
    rule: dict[str, Any],
    kind: FailureKind,
    says: str,
) -> None:
    """SYN-5: one part that fails makes the read fail; the reason says what to do, without anything secret."""
    exchanges.script(rules=[rule])
    result = read(f"binance:{key_of(alice, 'binance').pk}", now)
    assert result.read is None
    assert result.failure is not None
    assert result.failure.kind is kind
    assert says in result.failure.reason
    assert SECRET not in result.failure.reason
    assert "key-of-binance" not in result.failure.reason


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("binance", "GET fapi.binance.com/fapi/v3/positionRisk"),
        ("bybit", "position/list"),
    ],
)
def test_an_empty_list_of_positions_that_hold_margin_is_not_believed(
    venue: str, name: str, exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """SYN-5: the wallet says that positions hold margin, so the list that names none is wrong."""
    empty = {"retCode": 0, "retMsg": "OK", "result": {"list": [], "nextPageCursor": ""}}
    linear = "GET api.bybit.com/v5/position/list category=linear settleCoin="
    answers = (
        {name: []}
        if venue == "binance"
        else {
            f"{linear}USDT": empty,
            f"{linear}USDC": empty,
            "GET api.bybit.com/v5/position/list category=inverse": empty,
        }
    )
    exchanges.script(answers=answers)
    result = read(f"{venue}:{key_of(alice, venue).pk}", now)
    assert result.failure is not None
    assert "margin that positions hold" in result.failure.reason


def test_a_stablecoin_below_its_dollar_counts_what_it_trades_for(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """USDT at 0.90 in USD lowers the equity by what is held of it."""
    name = "GET api.kraken.com/0/public/Ticker"
    prices = {"XXBTZUSD": "60000", "XETHZUSD": "3000", "DOTUSD": "5", "USDTZUSD": "0.9", "XDGUSD": "0.1"}
    exchanges.script(
        answers={name: {"error": [], "result": {pair: {"c": [price, "1"]} for pair, price in prices.items()}}}
    )
    result = read(f"kraken:{key_of(alice, 'kraken').pk}", now)
    assert result.read is not None
    assert result.read.equity == EXPECTED["kraken"][0] - D("9.9")


def test_accounts_share_prices_and_connections(
    exchanges: ExchangesProcess, now: datetime, alice: User, bob: User, key_of: Keys
) -> None:
    """Two accounts of a venue: its prices are asked for once, and its connections are kept."""
    keys = [f"coinbase:{key_of(owner, 'coinbase').pk}" for owner in (alice, bob)]
    for key in (*keys, *keys, *keys):
        assert read(key, now).read is not None
    stats = exchanges.stats()
    assert stats["asked"]["GET api.coinbase.com/api/v3/brokerage/market/products"] == 1
    assert stats["asked"]["GET api.coinbase.com/api/v3/brokerage/accounts"] == 6
    assert stats["connections"] <= 3


def test_a_changed_or_revoked_key_takes_effect_at_the_next_read(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """A key that was exchanged signs from then on; one that was revoked reads nothing and says so."""
    credential = key_of(alice, "binance")
    key = f"binance:{credential.pk}"
    assert read(key, now).read is not None
    credential.sealed = keys_seal(keys=AccountKeys(api_key="the-new-one", secret=SECRET))
    credential.save()
    assert read(key, now).read is not None
    used = [head["X-MBX-APIKEY"] for head in exchanges.stats()["heads"] if "X-MBX-APIKEY" in head]
    assert {*used[: len(used) // 2]} == {"key-of-binance"}
    assert {*used[len(used) // 2 :]} == {"the-new-one"}
    credential.sealed, credential.revoked_at = "", now
    credential.save()
    asked = exchanges.stats()["asked"]
    result = read(key, now + timedelta(minutes=1))
    assert result.failure is not None
    assert "was revoked" in result.failure.reason
    assert exchanges.stats()["asked"] == asked


def test_a_key_for_trading_is_not_read_with(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """A key serves one purpose: one that trades follows nobody."""
    result = read(f"binance:{key_of(alice, 'binance', purpose='trade').pk}", now)
    assert result.failure is not None
    assert "is gone" in result.failure.reason
    assert exchanges.stats()["asked"] == {}


def test_its_requests_are_paid_from_the_venues_budgets(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys, redis_client: Any
) -> None:
    """SYN-3: with the budget of the address spent nothing is asked, and the wait is named."""
    from markets.budget import BudgetNow
    from markets.venue_limits import ADDRESS_LIMITS

    allowed = ADDRESS_LIMITS["binance:usdm"]
    budget = BudgetNow(venue="binance:usdm", allowance=allowed)
    budget.pause(for_s=60)
    budget.close()
    result = read(f"binance:{key_of(alice, 'binance').pk}", now, max_wait_s=0.2)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.DEFERRED
    assert 50 < (result.failure.retry_after_s or 0) < 70  # the pause, and then its room has to be earned
    assert not any("fapi" in name for name in exchanges.stats()["asked"])
