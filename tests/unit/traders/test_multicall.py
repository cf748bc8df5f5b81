"""FOL-3: Multicall3's envelope by hand is what a general encoder writes; half of it is refused."""

import pytest
from eth_abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadAnswer
from traders.evm.calls import AGGREGATE3, Call, aggregate3_answers, aggregate3_data, number_of, round_of

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
calls = st.lists(st.builds(Call, addresses, st.binary(max_size=100)), max_size=12)
rows = st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=12)


@given(calls)
def test_what_is_asked(asked: list[Call]) -> None:
    """Byte for byte, whatever the lengths."""
    data = bytes.fromhex(aggregate3_data(asked)[2:])
    assert data[:4] == AGGREGATE3
    (read,) = decode(["(address,bool,bytes)[]"], data[4:])
    assert list(read) == [(call.target, True, call.data) for call in asked]
    assert data[4:] == encode(["(address,bool,bytes)[]"], [read])


@given(rows)
def test_what_is_answered(answers: list[tuple[bool, bytes]]) -> None:
    """What failed is None, what succeeded is its bytes."""
    text = "0x" + encode(["(bool,bytes)[]"], [answers]).hex()
    expected = [data if success else None for success, data in answers]
    assert aggregate3_answers(text, count=len(answers)) == expected


@given(rows.filter(bool), st.data())
def test_half_an_answer_is_none(answers: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    """Cut anywhere before its last byte, or of another number of calls, it is refused."""
    whole = encode(["(bool,bytes)[]"], [answers])
    last = len(answers[-1][1])
    end = len(whole) - (-last % 32) - 1
    cut = whole[: data.draw(st.integers(0, end))]
    with pytest.raises(BadAnswer):
        aggregate3_answers("0x" + cut.hex(), count=len(answers))
    with pytest.raises(BadAnswer):
        aggregate3_answers("0x" + whole.hex(), count=len(answers) + 1)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(noise: bytes) -> None:
    """Whatever a node sends, it is read or refused."""
    try:
        read = aggregate3_answers("0x" + noise.hex(), count=2)
    except BadAnswer:
        return
    assert len(read) == 2


def test_numbers_are_one_word_and_rounds_five() -> None:
    """A word too few or too many is no answer; a price below zero is read as that."""
    assert number_of((7).to_bytes(32)) == 7
    assert number_of((7).to_bytes(31)) is None
    assert number_of(bytes(33)) is None
    words = [9, 2**256 - 5, 1, 2, 9]
    last = round_of(b"".join(word.to_bytes(32) for word in words))
    assert last is not None
    assert (last.round_id, last.answer, last.updated_at_s) == (9, -5, 2)
    assert round_of(bytes(159)) is None
