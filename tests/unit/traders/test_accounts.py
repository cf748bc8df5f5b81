"""What an exchange account is worth and holds, as arithmetic (FOL-3)."""

from collections.abc import Callable
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFound
from traders.domain.accounts import (
    Account,
    AccountKey,
    Dust,
    Known,
    Leg,
    account_equity,
    account_positions,
    coin_price,
    coin_prices,
    coins_unpriced,
    contract_code,
)
from traders.domain.reads import TraderPosition

DUST = Dust(usd=D(1), fraction=D("0.0001"))
NONE: dict[str, Known] = {}


def market(**prices: str) -> Callable[[str, str], D | None]:
    """Return the lookup of a venue with these markets, written BTC_USD."""
    return lambda base, quote: D(prices[name]) if (name := f"{base}_{quote}") in prices else None


@pytest.mark.parametrize(
    ("coin", "prices", "worth"),
    [
        ("USD", {}, "1"),
        ("USDT", {}, "1"),
        ("USDT", {"USDT_USD": "0.97"}, "0.97"),
        ("USDC", {"USDC_USDT": "0.99", "USDT_USD": "0.9"}, "0.891"),
        ("BTC", {"BTC_USDT": "60000", "USDT_USD": "0.9"}, "54000"),
        ("BTC", {"BTC_USD": "59000", "BTC_USDT": "60000"}, "59000"),
        ("EUR", {"EUR_USDT": "1.1"}, "1.1"),
        ("EUR", {}, None),
        ("JPY", {"USD_JPY": "160"}, "0.00625"),
        ("TRY", {"USDT_TRY": "40"}, "0.025"),
        ("ABC", {"ABC_BTC": "0.5", "BTC_USD": "100"}, "50"),
        ("ABC", {"ABC_EUR": "2", "EUR_USD": "1.2"}, "2.4"),
        ("ABC", {"ABC_EUR": "2"}, None),
        ("ABC", {}, None),
        ("BTC", {"ETH_BTC": "0.05"}, None),
    ],
)
def test_a_coin_is_worth_what_its_best_market_says(
    coin: str, prices: dict[str, str], worth: str | None
) -> None:
    """USD first, then stablecoins and euros at their own price, then bitcoin."""
    assert coin_price(coin, lookup=market(**prices)) == (None if worth is None else D(worth))


def test_what_is_borrowed_lowers_equity_and_is_a_short_position() -> None:
    """A debt of 1 BTC against 100,000 USD is a short of 1 BTC in an account worth 40,000."""
    account = Account(holdings={"USD": D(100_000), "BTC": D(-1)}, prices={"USD": D(1), "BTC": D(60_000)})
    assert account_equity(account) == D(40_000)
    (position,) = account_positions(account, equity=D(40_000), dust=DUST, known=NONE)
    assert position == TraderPosition("BTC", D(-1), D(60_000), D(60_000))


def test_what_has_no_price_counts_nothing_and_is_named() -> None:
    """An unlisted coin is neither worth nor position."""
    account = Account(holdings={"XYZ": D(5), "USD": D(1), "OLD": D(0)}, prices={"USD": D(1)})
    assert (account_equity(account), coins_unpriced(account)) == (D(1), ["XYZ"])
    assert account_positions(account, equity=D(1), dust=DUST, known=NONE) == ()


def test_both_sides_of_hedge_mode_are_one_position_at_the_larger_ones_entry() -> None:
    """3 long at 100 and 200, 1 short at 300: 2 long, entered at the longs' average."""
    legs = (
        Leg("ETH", D(1), D(100), D(250), "USDT"),
        Leg("ETH", D(2), D(250), D(250), "USDT"),
        Leg("ETH", D(-1), D(300), D(250), "USDT"),
    )
    account = Account(holdings={}, prices={"USDT": D("0.5")}, legs=legs)
    (position,) = account_positions(account, equity=D(1000), dust=DUST, known=NONE)
    assert position == TraderPosition("ETH", D(2), D(100), D(125))  # prices in USD: half of those in USDT


def test_a_coin_hedged_by_its_contract_is_no_position() -> None:
    """1 BTC held and 1 BTC short is flat."""
    account = Account(
        holdings={"BTC": D(1)}, prices={"BTC": D(60_000)}, legs=(Leg("BTC", D(-1), D(50_000), D(60_000)),)
    )
    assert account_positions(account, equity=D(60_000), dust=DUST, known=NONE) == ()


@pytest.mark.parametrize(
    ("quantity", "known", "entry"),
    [
        ("2", None, "30"),
        ("2", Known(D(2), D(10)), "10"),
        ("1", Known(D(2), D(10)), "10"),
        ("4", Known(D(2), D(10)), "20"),
        ("2", Known(D(-2), D(10)), "30"),
    ],
)
def test_a_coins_entry_price_is_that_of_its_first_sight(
    quantity: str, known: Known | None, entry: str
) -> None:
    """Kept when part is sold, averaged when more is there, begun anew on the other side."""
    account = Account(holdings={"SOL": D(quantity)}, prices={"SOL": D(30)})
    before = {"SOL": known} if known else NONE
    (position,) = account_positions(account, equity=D(100), dust=DUST, known=before)
    assert position.entry_price == D(entry)


@pytest.mark.parametrize(
    ("value", "equity", "held", "stays"),
    [
        ("0.99", "100", False, False),
        ("1", "100", False, True),
        ("4.99", "50000", False, False),
        ("5", "50000", False, True),
        ("2.5", "50000", True, True),
        ("2.49", "50000", True, False),
    ],
)
def test_dust_is_no_position_and_does_not_come_and_go(
    value: str, equity: str, held: bool, stays: bool
) -> None:
    """Below 1 USD or 0.01 % of equity; one that is held stays until half of that."""
    account = Account(holdings={"SOL": D(value)}, prices={"SOL": D(1)})
    known = {"SOL": Known(D(9), D(1))} if held else NONE
    assert bool(account_positions(account, equity=D(equity), dust=DUST, known=known)) is stays


@given(
    contracts=st.integers(1, 10_000),
    entry=st.decimals("0.01", "100000", places=2),
    price=st.decimals("0.01", "100000", places=2),
)
def test_an_inverse_contract_gains_in_dollars_what_its_holding_does(
    contracts: int, entry: D, price: D
) -> None:
    """N dollars entered at e are paid N x (1/e - 1/p) coins, which at p is N/e x (p - e) dollars."""
    coins = contracts * (1 / entry - 1 / price)
    assert abs(coins * price - contracts / entry * (price - entry)) < D("0.0000001") * contracts * (
        1 + price / entry
    )


@given(
    holdings=st.dictionaries(
        st.sampled_from(["BTC", "ETH", "USDT", "EUR", "SOL"]), st.decimals("-1000", "1000", places=8)
    ),
    scale=st.integers(2, 9),
)
def test_equity_and_positions_scale_with_the_account(holdings: dict[str, D], scale: int) -> None:
    """Twice the account is worth twice as much and holds twice as much of everything."""
    prices = coin_prices(
        holdings, lookup=market(BTC_USD="60000", ETH_USD="3000", SOL_USD="150", EUR_USD="1.1")
    )
    none = Dust(usd=D(0), fraction=D(0))
    one = Account(holdings=holdings, prices=prices)
    many = Account(holdings={coin: held * scale for coin, held in holdings.items()}, prices=prices)
    assert abs(account_equity(many) - scale * account_equity(one)) <= scale * D("0.00000001")
    held = [account_positions(each, equity=D(1), dust=none, known=NONE) for each in (one, many)]
    assert {p.code: p.quantity * scale for p in held[0]} == {p.code: p.quantity for p in held[1]}
    assert not {p.code for p in held[0]} & {"USDT", "EUR"}


def test_thousands_have_our_codes() -> None:
    """1000PEPE and SHIB1000 are kPEPE and kSHIB; a million MOG is a thousand kMOG; 1INCH is itself."""
    assert contract_code("1000PEPE") == ("kPEPE", D(1))
    assert contract_code("SHIB1000") == ("kSHIB", D(1))
    assert contract_code("1000000MOG") == ("kMOG", D(1000))
    assert contract_code("1INCH") == ("1INCH", D(1))
    assert contract_code("BTC") == ("BTC", D(1))


@pytest.mark.parametrize(
    "key", ["", "binance", "binance:", "okx:1", "binance:x", "binance:1:all", "binance:²"]
)
def test_what_names_no_account_is_not_found(key: str) -> None:
    """Nothing else is an account's key."""
    with pytest.raises(NotFound):
        AccountKey.parse(key)


def test_a_key_says_what_is_read() -> None:
    """Everything, or spot alone."""
    assert AccountKey.parse("kraken:17") == AccountKey("kraken", 17, contracts=True)
    assert AccountKey.parse("kraken:17:spot") == AccountKey("kraken", 17, contracts=False)
