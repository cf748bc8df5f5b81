"""SEC-1: what a key may do is read from its venue, and read right, before anything is kept."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.sealing import AccountKeys
from core.errors import BadAnswer, InputError, RateLimited, RetryLater
from markets.budget import BudgetNow
from markets.domain.permissions import KeyPermissions, UnknownPermission, permissions_refusal
from markets.key_permissions import KEY_VENUES, KeyRefused, permissions_read, wallet_keys
from markets.venue_limits import address_limit
from tests.keys.conftest import MASTER, WALLET, WALLET_KEY, keys_of
from tests.loopback.keys import (
    BINANCE_KEY,
    BYBIT_KEY,
    COINBASE_KEY,
    KRAKEN_KEY,
    KUCOIN_KEY,
    OKX_KEY,
    PATHS,
    KeyVenues,
)

TRADES: dict[str, Any] = {
    "binance": {"enableSpotAndMarginTrading": True},
    "bybit": {"readOnly": 0},
    "kraken": {"permissions": ["query-funds", "modify-trades", "close-trades"]},
    "coinbase": {"can_trade": True},
    "okx": {"perm": "read_only,trade"},
    "kucoin": {"permission": "General,Spot,Futures"},
}
WITHDRAWS: dict[str, Any] = {
    "binance": {"enableWithdrawals": True},
    "bybit": {"readOnly": 0, "permissions": {"Wallet": ["Withdraw"]}},
    "kraken": {"permissions": ["query-funds", "withdraw-funds"]},
    "coinbase": {"can_transfer": True},
    "okx": {"perm": "read_only,withdraw"},
    "kucoin": {"permission": "General,Transfer"},
}
BODIES: dict[str, dict[str, Any]] = {
    "binance": BINANCE_KEY,
    "bybit": BYBIT_KEY,
    "kraken": KRAKEN_KEY,
    "coinbase": COINBASE_KEY,
    "okx": OKX_KEY,
    "kucoin": KUCOIN_KEY,
}
ACCOUNTS = {
    "binance": "354937868",
    "bybit": "24617703",
    "kraken": "AA12 N84G WOOD LAMP",
    "coinbase": "11111111-2222-4333-8444-555555555555",
    "okx": "43812",
    "kucoin": "165111215",
}


def _read(venue: str) -> KeyPermissions:
    return permissions_read(venue=venue, sandbox=False, keys=keys_of(venue))


@pytest.mark.parametrize("venue", BODIES)
def test_a_key_that_only_reads(venues: KeyVenues, venue: str) -> None:
    """It may be kept to follow, not to trade; one question, signed, is all that was sent."""
    found = _read(venue)
    assert (found.read, found.trade, found.moves, found.withdraw) == (True, False, False, False)
    assert found.account_id == ACCOUNTS[venue]
    assert permissions_refusal(label="X", purpose="follow", permissions=found) == ""
    assert "cannot trade" in permissions_refusal(label="X", purpose="trade", permissions=found)
    expected = [PATHS[venue], PATHS["binance account"]] if venue == "binance" else [PATHS[venue]]
    assert venues.asked == expected


@pytest.mark.parametrize("venue", BODIES)
def test_a_key_that_trades(venues: KeyVenues, venue: str) -> None:
    """It may be kept to trade, not to follow."""
    venues.say(venue, BODIES[venue], **TRADES[venue])
    found = _read(venue)
    assert (found.read, found.trade, found.withdraw) == (True, True, False)
    assert permissions_refusal(label="X", purpose="trade", permissions=found) == ""
    assert "can trade" in permissions_refusal(label="X", purpose="follow", permissions=found)


@pytest.mark.parametrize("venue", BODIES)
def test_a_key_that_withdraws_is_refused_for_everything(venues: KeyVenues, venue: str) -> None:
    """Whatever else it may do."""
    venues.say(venue, BODIES[venue], **{**TRADES[venue], **WITHDRAWS[venue]})
    found = _read(venue)
    assert found.withdraw is True
    for purpose in ("follow", "trade"):
        assert "can withdraw money" in permissions_refusal(label="X", purpose=purpose, permissions=found)


def test_a_key_that_only_moves_money_inside_is_none_to_follow_with(venues: KeyVenues) -> None:
    """It changes nothing outside, but a follower needs no such power."""
    venues.say("binance", BINANCE_KEY, permitsUniversalTransfer=True)
    refusal = permissions_refusal(label="Binance", purpose="follow", permissions=_read("binance"))
    assert "can move money inside the account" in refusal


@pytest.mark.parametrize(
    ("venue", "changed"),
    [
        ("binance", {"enableTimeTravel": True}),
        ("kraken", {"permissions": ["query-funds", "time-travel"]}),
        ("okx", {"perm": "read_only,time_travel"}),
        ("kucoin", {"permission": "General,TimeTravel"}),
        ("coinbase", {"can_time_travel": True}),
        ("bybit", {"readOnly": 0, "permissions": {"Wallet": ["TimeTravel"]}}),
    ],
)
def test_a_word_that_is_not_known_is_no_harmless_word(
    venues: KeyVenues, venue: str, changed: dict[str, Any]
) -> None:
    """What a venue may add one day is refused by name until somebody has read what it means."""
    venues.say(venue, BODIES[venue], **changed)
    with pytest.raises(UnknownPermission, match="not known here"):
        _read(venue)


@pytest.mark.parametrize("word", ["withdraw-everything", "canWithdrawFiat"])
def test_any_word_that_speaks_of_withdrawing_counts_as_that(venues: KeyVenues, word: str) -> None:
    """However it is spelt."""
    venues.say("kraken", KRAKEN_KEY, permissions=["query-funds", word])
    assert _read("kraken").withdraw is True


@pytest.mark.parametrize(
    ("venue", "missing"),
    [("binance", "enableWithdrawals"), ("bybit", "readOnly"), ("coinbase", "can_transfer"), ("okx", "perm"),
     ("kraken", "permissions"), ("kucoin", "permission"), ("kraken", "iban"), ("okx", "uid")],
)  # fmt: skip
def test_an_answer_that_does_not_say_it_is_no_answer(venues: KeyVenues, venue: str, missing: str) -> None:
    """Nothing is guessed: neither what a key may do nor whose it is."""
    venues.say(venue, {name: value for name, value in BODIES[venue].items() if name != missing})
    with pytest.raises(BadAnswer):
        _read(venue)


@pytest.mark.parametrize(
    ("venue", "status", "body"),
    [
        ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
        ("binance", 401, {"code": -1022, "msg": "Signature for this request is not valid."}),
        ("bybit", 200, {"retCode": 10003, "retMsg": "API key is invalid.", "result": {}}),
        ("kraken", 200, {"error": ["EAPI:Invalid key"]}),
        ("coinbase", 401, "Unauthorized"),
        ("okx", 401, {"code": "50111", "msg": "Invalid OK-ACCESS-KEY", "data": []}),
        ("kucoin", 401, {"code": "400003", "msg": "KC-API-KEY not exists"}),
    ],
)
def test_a_key_the_venue_does_not_know_is_a_mistake_of_typing(
    venues: KeyVenues, venue: str, status: int, body: Any
) -> None:
    """The person can put it right, and is told so beside the field."""
    venues.answer(PATHS[venue], body, status=status)
    with pytest.raises(KeyRefused, match="does not accept this key") as refused:
        _read(venue)
    assert refused.value.field == "api_key"
    _nothing_secret(str(refused.value), keys_of(venue) if venue != "coinbase" else None)


@pytest.mark.parametrize("venue", BODIES)
@pytest.mark.parametrize(("status", "body"), [(503, "down"), (429, "{}"), (200, "<html>"), (200, "[]")])
def test_a_venue_that_does_not_answer_is_asked_again_later(
    venues: KeyVenues, venue: str, status: int, body: str
) -> None:
    """Nothing is known, so nothing is concluded."""
    venues.answer(PATHS[venue], body, status=status)
    with pytest.raises(RetryLater) as told:
        _read(venue)
    assert venues.url not in str(told.value)


def test_a_venue_without_room_in_its_budget_is_asked_later(
    venues: KeyVenues, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking about keys waits behind everything else and never asks beyond what the venue allows."""
    monkeypatch.setattr("markets.key_permissions.BUDGET_WAIT_S", 0.0)
    _read("kraken")
    room = address_limit("kraken")
    assert room is not None
    budget = BudgetNow(venue="kraken", allowance=room, redis_url=settings.REDIS_URL)
    budget.pause(for_s=30)
    budget.close()
    asked = len(venues.asked)
    with pytest.raises(RateLimited):
        _read("kraken")
    assert len(venues.asked) == asked


def test_nobody_listening_is_asked_again_later(settings: Any, services: None) -> None:
    """A refused connection, too; the message carries no address and no signature."""
    settings.EXCHANGE_GATEWAY = "http://127.0.0.1:1"
    with pytest.raises(RetryLater) as told:
        _read("binance")
    assert "signature" not in str(told.value)


@pytest.mark.parametrize("venue", ["kraken", "coinbase"])
def test_a_secret_that_cannot_sign_is_said_beside_its_field(venues: KeyVenues, venue: str) -> None:
    """What the libraries raise then may quote the secret; what is said here does not."""
    bad = "-----BEGIN EC PRIVATE KEY-----\nbm9rZXk=\n-----END EC PRIVATE KEY-----\n"
    secret = bad if venue == "coinbase" else "abcde"
    keys = AccountKeys(api_key=keys_of(venue).api_key, secret=secret)
    with pytest.raises(InputError, match="cannot be signed") as refused:
        permissions_read(venue=venue, sandbox=False, keys=keys)
    assert refused.value.field == "secret"
    assert refused.value.__suppress_context__
    assert venues.asked == []


# ---------------------------------------------------------------- Hyperliquid
def test_an_api_wallet_trades_for_its_account_and_cannot_withdraw(venues: KeyVenues) -> None:
    """Hyperliquid: an agent of the account is what a live portfolio needs."""
    venues.answer(PATHS["hyperliquid"], {"role": "agent", "data": {"user": MASTER}})
    found = _read("hyperliquid")
    assert (found.trade, found.withdraw, found.account_id) == (True, False, MASTER)
    assert permissions_refusal(label="Hyperliquid", purpose="trade", permissions=found) == ""
    assert venues.asked == [PATHS["hyperliquid"]]
    assert f'"user":"{WALLET}"' in venues.bodies[0].replace(" ", "")
    assert WALLET_KEY[2:] not in venues.bodies[0]


def test_the_accounts_own_private_key_can_withdraw(venues: KeyVenues) -> None:
    """Hyperliquid: the master's key moves everything, so it is refused."""
    venues.answer(PATHS["hyperliquid"], {"role": "user"})
    keys = wallet_keys(account=WALLET.upper().replace("0X", "0x"), private_key=WALLET_KEY)
    found = permissions_read(venue="hyperliquid", sandbox=False, keys=keys)
    assert found.withdraw is True


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({"role": "agent", "data": {"user": "0x" + "1" * 40}}, "account"),
        ({"role": "user"}, "secret"),
        ({"role": "missing"}, "secret"),
        ({"role": "vault"}, "secret"),
        ({"role": "agent"}, "account"),
    ],
)
def test_a_wallet_of_somebody_else_is_refused(venues: KeyVenues, answer: dict[str, Any], field: str) -> None:
    """Hyperliquid: a wallet that is no agent of this account has nothing to do with it."""
    venues.answer(PATHS["hyperliquid"], answer)
    with pytest.raises(InputError) as refused:
        _read("hyperliquid")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("account", "private_key", "field"),
    [
        ("0x12", WALLET_KEY, "account"),
        (WALLET, "0x12", "secret"),
        (WALLET, "0x" + "f" * 64, "secret"),
        (WALLET, "zz" * 32, "secret"),
    ],
)
def test_what_is_no_wallet_is_refused_without_quoting_it(account: str, private_key: str, field: str) -> None:
    """No library's words reach the person: they hold the key."""
    with pytest.raises(InputError) as refused:
        wallet_keys(account=account, private_key=private_key)
    assert refused.value.field == field
    assert private_key not in str(refused.value)


# ---------------------------------------------------------------- sandboxes
def test_binances_test_environment_has_keys_of_its_own(venues: KeyVenues) -> None:
    """There is no list of permissions, and no money that could leave."""
    venues.answer(PATHS["binance test"], {"canTrade": True, "canWithdraw": True, "uid": 77})
    found = permissions_read(venue="binance", sandbox=True, keys=keys_of("binance"))
    assert (found.trade, found.withdraw, found.account_id) == (True, False, "77")
    assert venues.asked == [PATHS["binance test"]]


def test_a_venue_without_sandbox_says_so(venues: KeyVenues) -> None:
    """Kraken has no test environment that ccxt can reach."""
    with pytest.raises(InputError, match="no test environment") as refused:
        permissions_read(venue="kraken", sandbox=True, keys=keys_of("kraken"))
    assert refused.value.field == "sandbox"
    assert {entry.venue for entry in KEY_VENUES.values() if entry.test_question} == {
        "binance",
        "bybit",
        "hyperliquid",
        "okx",
    }


def test_a_venue_whose_keys_cannot_be_read_is_refused(venues: KeyVenues) -> None:
    """ccxt knows it, but nobody could tell whether its keys withdraw."""
    with pytest.raises(InputError, match="could not be told whether it can withdraw") as refused:
        permissions_read(venue="bitfinex", sandbox=False, keys=keys_of("binance"))
    assert refused.value.field == "venue"
    assert venues.asked == []


def _nothing_secret(text: str, keys: AccountKeys | None) -> None:
    for part in keys.secrets() if keys else ():
        assert part not in text
