"""FOL-3: a token that lies is left out and named. It never breaks the read and never makes anybody rich."""

from decimal import Decimal

import pytest

from tests.integration.evm.anvil import (
    BALANCE_OF,
    BURNS_GAS,
    DECIMALS,
    LOOPS,
    ONE_BYTE,
    REENTERS,
    REVERTS,
    SUPPLY,
    says,
)
from tests.integration.evm.conftest import ETHER, WALLET, LocalChain
from traders.domain.reads import TraderRead

LIAR = "0x" + "66" * 20
HUGE = 2**256 - 1
HONEST = {DECIMALS: 18, SUPPLY: 1000 * ETHER, BALANCE_OF: ETHER}
LIES = {
    "reverts": (says(HONEST | {BALANCE_OF: REVERTS}), "its balance cannot be read"),
    "one byte": (says(HONEST | {BALANCE_OF: ONE_BYTE}), "its balance cannot be read"),
    "more than there is": (says(HONEST | {BALANCE_OF: HUGE}), "it gives the wallet more than there is of it"),
    "huge": (says({DECIMALS: 18, SUPPLY: HUGE, BALANCE_OF: HUGE}), "it says that the wallet holds 1.16e+59"),
    "other decimals": (says(HONEST | {DECIMALS: 0}), "it has 0 decimals and not 18"),
    "burns all gas": (says(HONEST | {BALANCE_OF: BURNS_GAS}), "its balance cannot be read"),
    "calls itself": (says(HONEST | {BALANCE_OF: REENTERS}), "its balance cannot be read"),
    "loops for ever": (LOOPS, "it does not say how many decimals it has"),
    "no contract": ("0x", "it does not say how many decimals it has"),
}


@pytest.mark.parametrize("batch", [False, True], ids=["multicall", "batch"])
@pytest.mark.parametrize("lie", LIES)
def test_a_lying_token_is_left_out_and_named(local: LocalChain, lie: str, batch: bool) -> None:
    """What stands before and behind it in the list is read as ever."""
    code, why = LIES[lie]
    local.anvil.give(WALLET, ETHER)
    first = local.token("WETH", local.anvil.token(100 * ETHER), feed="ETH")
    local.token("LIAR", local.anvil.code(LIAR, code), feed="ETH")
    last = local.token("LINK", local.anvil.token(100 * ETHER), feed="ETH")
    local.anvil.transfer(first, WALLET, ETHER)
    local.anvil.transfer(last, WALLET, ETHER)
    if batch:
        local.multicall = ""
    (result,) = local.read()
    assert result.failure is None
    assert result.read is not None
    assert result.read.equity == 6000
    assert [position.code for position in result.read.positions] == ["ETH", "LINK", "WETH"]
    assert result.read.notes == (f"LIAR is left out: {why}.",)


def test_a_token_that_was_held_and_lies_now_is_not_sold(local: LocalChain) -> None:
    """SYN-5: half an answer never looks like a sale; the position stays as it was and is named."""
    local.anvil.give(WALLET, ETHER)
    local.token("LIAR", local.anvil.code(LIAR, says(HONEST)), feed="ETH")
    (result,) = local.read()
    before = result.read
    assert before is not None
    assert {position.code: position.quantity for position in before.positions} == {
        "ETH": Decimal(1), "LIAR": Decimal(1),
    }  # fmt: skip
    local.anvil.code(LIAR, says(HONEST | {BALANCE_OF: BURNS_GAS}))
    local.before[WALLET] = before
    (result,) = local.read()
    assert result.read is not None
    assert result.read.quantities() == before.quantities()
    assert result.read.equity == before.equity == 4000
    assert result.read.notes == ("LIAR stays as it was last read: its balance cannot be read.",)


def test_cash_that_cannot_be_read_now_still_counts(local: LocalChain) -> None:
    """Target: exposure is notional ÷ equity; without its cash a wallet would look ten times as bold."""
    local.anvil.give(WALLET, ETHER)
    fixed = {DECIMALS: 6, SUPPLY: 10**15, BALANCE_OF: 18_000_000_000}
    local.token("USDC", local.anvil.code(LIAR, says(fixed)), decimals=6, stable=True)
    (result,) = local.read()
    before = result.read
    assert before is not None
    assert before.equity == 20000
    local.anvil.code(LIAR, says(fixed | {BALANCE_OF: REVERTS}))
    local.before[WALLET] = before
    (result,) = local.read()
    assert result.read is not None
    assert result.read.equity == 20000
    assert result.read.origin["cash"] == {"USDC": ["18000", "1"]}


def read_of(local: LocalChain) -> TraderRead:
    """Read the wallet."""
    (result,) = local.read()
    assert result.read is not None, result.failure
    return result.read


def test_a_feed_that_cannot_be_believed_gives_no_price(local: LocalChain) -> None:
    """FOL-3: an answer of 0, an old round and one that is not complete: what they price is not counted."""
    local.anvil.give(WALLET, ETHER)
    token = local.token("LINK", local.anvil.token(100 * ETHER), feed="LINK")
    local.anvil.transfer(token, WALLET, 2 * ETHER)
    feed = local.feed("LINK", 10, heartbeat_s=60)
    assert read_of(local).equity == 2020
    at_s = local.anvil.time_s()
    rounds = {
        (0, at_s, at_s): "the feed of LINK says 0",
        (-5, at_s, at_s): "the feed of LINK says -5",
        (10**9, at_s, 0): "the round of the feed of LINK is not complete",
        (10**9, at_s - 1000, at_s): "the feed of LINK is 16 min old",
        (10**9, at_s + 900, at_s): "the feed of LINK is from the future",
        (2**254, at_s, at_s): "the feed of LINK says 2.89e+68",
    }
    for (answer, updated_at_s, started_at_s), why in rounds.items():
        local.anvil.feed_round(feed, answer=answer, at_s=updated_at_s, started_at_s=started_at_s)
        read = read_of(local)
        assert read.equity == 2000, why
        assert [position.code for position in read.positions] == ["ETH"]
        (note,) = read.notes
        assert note == f"2 LINK are not counted: {why}, and there is no live price of LINK."


def test_what_was_held_keeps_its_last_price_while_its_feed_is_down(local: LocalChain) -> None:
    """SYN-5: a feed that stops is no sale either; the quantity is known, and new units are counted."""
    token = local.token("LINK", local.anvil.token(100 * ETHER), feed="LINK")
    local.anvil.transfer(token, WALLET, 2 * ETHER)
    feed = local.feed("LINK", 10, heartbeat_s=60)
    local.before[WALLET] = read_of(local)
    local.anvil.feed_round(feed, answer=0, at_s=local.anvil.time_s())
    local.anvil.transfer(token, WALLET, ETHER)
    read = read_of(local)
    assert read.equity == 30
    assert read.quantities() == {"LINK": Decimal(3)}
    (note,) = read.notes
    assert note.startswith("LINK is counted at its last known price: the feed of LINK says 0, and there is")


def test_a_feed_with_other_decimals_gives_no_price(local: LocalChain) -> None:
    """FOL-3: 18 decimals read as 8 would make ten billion times as much."""
    local.anvil.give(WALLET, ETHER)
    token = local.token("LINK", local.anvil.token(100 * ETHER), feed="LINK")
    local.anvil.transfer(token, WALLET, ETHER)
    local.feeds["LINK"] = {"address": local.anvil.feed(10**19, decimals=18), "heartbeat_s": 3600}
    read = read_of(local)
    assert read.equity == 2000
    assert "the feed of LINK does not answer" in read.notes[0]
    local.feeds["LINK"]["decimals"] = 18
    assert read_of(local).equity == 2010
