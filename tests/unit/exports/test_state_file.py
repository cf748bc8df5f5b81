"""DAT-1: state files of other programs: money is never guessed, what is not understood is told."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decimals import EXACT
from core.errors import InputError
from engine.domain.state_file import state_read
from engine.domain.state_json import DEPTH_MAX, SIZE_MAX, state_json
from engine.domain.state_positions import code_of, fills_of
from engine.domain.state_types import StateFile

D = Decimal
V1 = {
    "version": 1,
    "balance": 1000.5,
    "positions": {
        "BTC/USDT": {
            "side": "long",
            "quantity": 0.01,
            "entry_price": 50000,
            "stop_loss": 48000,
            "confidence": 0.8,
        }
    },
    "trade_history": [{"pnl": 1}, {"pnl": 2}],
}


def read(**fields: Any) -> StateFile:
    """Read version 1 with some fields changed; None takes one out."""
    return state_read(text=json.dumps({k: v for k, v in (V1 | fields).items() if v is not None}))


def told(state: StateFile, *, fatal: bool) -> list[str]:
    """Return the places of what was told."""
    return [finding.place for finding in state.findings if finding.fatal is fatal]


def test_version_1() -> None:
    """DAT-1: cash, position, stop and history; what is not understood is told, line by line."""
    state = read()
    (position,) = state.positions
    assert (state.version, state.policy, state.cash) == (1, "spot", D("1000.5"))
    assert (position.code, position.quantity, position.cost) == ("BTC", D("0.01"), D(500))
    assert (position.stop, state.deposit, state.history) == (D(48000), D("1500.5"), {"trade_history": 2})
    assert told(state, fatal=True) == []
    assert told(state, fatal=False) == ["positions.BTC/USDT.confidence", "policy"]


def test_version_2_with_books_of_their_own() -> None:
    """DAT-1: two traders on one side add up, each is named; their cash is summed."""
    books = {
        "Grok": {"cash": "100.25", "positions": [{"coin": "eth", "qty": "-2", "entry": "10"}]},
        "Qwen": {"cash": 50, "positions": {"ETHUSDT": {"side": "short", "size": 1, "entry_price": 13}}},
    }
    state = state_read(text=json.dumps({"version": "2.0", "traders": books}))
    (position,) = state.positions
    assert (state.version, state.policy, state.cash, state.traders) == (
        2,
        "perp",
        D("150.25"),
        ("Grok", "Qwen"),
    )
    assert (position.code, position.quantity, position.cost) == ("ETH", D(-3), D(-33))
    assert position.traders == ("Grok", "Qwen")
    assert not state.fatal


def test_two_sides_of_one_instrument_are_refused() -> None:
    """DAT-1: netting would make up a result."""
    rows = [{"symbol": "BTC", "size": size, "entry_price": 10} for size in (1, -1)]
    assert told(read(positions=rows), fatal=True) == ["positions.1"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"balance": None}, "cash"),
        ({"balance": "many"}, "balance"),
        ({"balance": True}, "balance"),
        ({"cash": 5}, "cash"),
        ({"balance": -1}, "cash"),
        ({"positions": {"BTC": {"size": 1}}}, "positions.BTC"),
        ({"positions": {"BTC": {"size": 1, "entry_price": 0}}}, "positions.BTC"),
        ({"positions": {"BTC": {"size": 1, "entry_price": 10, "side": "up"}}}, "positions.BTC"),
        ({"positions": {"BTC": {"size": -1, "entry_price": 10, "side": "long"}}}, "positions.BTC"),
        ({"positions": {"BTC": {"size": 1, "qty": 2, "entry_price": 10}}}, "positions.BTC.size"),
        ({"positions": {"BTC": {"size": 1, "entry_price": 10, "cost": 11}}}, "positions.BTC.cost"),
        ({"positions": {"BTC": {"size": "0.0000000000001", "entry_price": 10}}}, "positions.BTC"),
        ({"positions": {"BTC": "long"}}, "positions.BTC"),
        ({"positions": 5}, "positions"),
        ({"currency": "EUR"}, "currency"),
        ({"policy": "margin"}, "policy"),
        ({"policy": "spot", "positions": {"BTC": {"size": -1, "entry_price": 10}}}, "policy"),
        ({"equity": 5000, "positions": {}}, "equity"),
    ],
)
def test_money_is_never_guessed(fields: dict[str, Any], place: str) -> None:
    """DAT-1: each of these stops the import, and names its place."""
    assert place in told(read(**fields), fatal=True)


def test_totals_must_add_up() -> None:
    """DAT-1: stated equity against cash and positions at the file's marks, to a cent each."""
    row = {"side": "short", "size": 2, "entry_price": 100, "mark_price": 90}
    good = read(balance=1000, positions={"BTC": row}, equity=1020)
    assert (good.policy, good.deposit, good.fatal) == ("perp", D(1000), False)
    assert told(read(balance=1000, positions={"BTC": row}, equity=1019), fatal=True) == ["equity"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no object"),
        ('{"cash": NaN}', "no number"),
        ('{"cash": Infinity}', "no number"),
        ('{"cash": 1, "cash": 1}', "twice"),
        ("[" * (DEPTH_MAX + 1), "nested"),
        (r'{"\u0000": 1}', "stands in no text"),
        (r'{"a": [{"b": "\ud800"}]}', "stands in no text"),
        (r'{"\ud800": 1, "\ud800": 2}', "is in it twice"),
        ('"' + "x" * SIZE_MAX + '"', "characters"),
        ('{"version": 3, "cash": 1}', "versions 1 and 2"),
    ],
)
def test_what_cannot_be_read_at_all(text: str, words: str) -> None:
    """DAT-1: refused with the reason; nothing deeper, larger or vaguer gets further."""
    with pytest.raises(InputError, match=words):
        state_read(text=text)


def test_brackets_in_texts_are_no_depth() -> None:
    """DAT-1: only real nesting counts; escaped quotes do not end a text."""
    assert state_json(text=json.dumps({"a": "[" * 50 + '"{'})) == {"a": "[" * 50 + '"{'}


def test_a_whole_pair_is_text() -> None:
    """What lies beyond 16 bits may be written as two escapes."""
    assert state_json(text=r'{"a": "\ud83d\ude00"}') == {"a": "😀"}


def test_numbers_are_exact() -> None:
    """DAT-1: what is written is what is read, to the last digit, also as a text."""
    assert read(balance="123456789.12345678").cash == D("123456789.12345678")
    assert state_json(text='{"a": 0.1}') == {"a": D("0.1")}


@pytest.mark.parametrize(
    ("symbol", "code"),
    [("BTC/USDT:USDT", "BTC"), ("BTCUSDT", "BTC"), ("btc", "BTC"), ("BTC-PERP", "BTC"), ("kBONK", "kBONK"),
     ("xyz:TSLA", "xyz:TSLA"), ("USDT", "USDT")],
)  # fmt: skip
def test_symbols(symbol: str, code: str) -> None:
    """DAT-1: a venue's name for it becomes ours."""
    assert code_of(symbol) == code


@given(
    quantity=st.decimals("0.000000000001", "1000000000", places=12),
    cost=st.decimals("0.00000001", "1000000000", places=8),
)
def test_fills_cost_exactly_what_was_stated(quantity: Decimal, cost: Decimal) -> None:
    """DAT-1: one or two fills, prices of 12 places, to the last decimal."""
    fills = fills_of(quantity=quantity, cost=cost)
    assert len(fills) <= 2
    assert sum(part for part, _ in fills) == quantity
    total = D(0)
    for part, price in fills:
        total = EXACT.add(total, EXACT.multiply(part, price))
    assert total == cost
