"""Calls to contracts as bytes: what is asked, Multicall3's envelope, and answers as numbers.

Answers are taken as they should be or not at all: a number is exactly 32 bytes, a round exactly 160.
Sources: Solidity ABI specification; EIP-20; Multicall3 (mds1/multicall, MIT); Chainlink's
AggregatorV3Interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import BadAnswer
from traders.domain.wallets import Round

BALANCE_OF: Final = bytes.fromhex("70a08231")  # balanceOf(address)
TOTAL_SUPPLY: Final = bytes.fromhex("18160ddd")  # totalSupply()
DECIMALS: Final = bytes.fromhex("313ce567")  # decimals()
LAST_ROUND: Final = bytes.fromhex("feaf968c")  # latestRoundData()
AGGREGATE3: Final = bytes.fromhex("82ad56cb")  # aggregate3((address,bool,bytes)[])
ETH_BALANCE: Final = bytes.fromhex("4d2301cc")  # getEthBalance(address), Multicall3's own
_WORD: Final = 32


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a contract, by its address."""

    target: str
    data: bytes


def with_address(selector: bytes, address: str) -> bytes:
    """Return the call data of a function that takes one address."""
    return selector + bytes(12) + bytes.fromhex(address[2:])


def aggregate3_data(calls: Sequence[Call]) -> str:
    """Return the call data, as hexadecimal, that asks Multicall3 all of these; each may fail by itself.

    Written by hand, since a general encoder takes longer over it than the node does over the answer.
    """
    places, rows, at = [], [], len(calls) * _WORD
    for call in calls:
        padded = call.data + bytes(-len(call.data) % _WORD)
        target = bytes(12) + bytes.fromhex(call.target[2:])
        row = target + _word(1) + _word(3 * _WORD) + _word(len(call.data)) + padded
        places.append(_word(at))
        rows.append(row)
        at += len(row)
    return "0x" + b"".join((AGGREGATE3, _word(_WORD), _word(len(calls)), *places, *rows)).hex()


def aggregate3_answers(answer: object, *, count: int) -> list[bytes | None]:
    """Return each call's answer, None where it failed.

    :raises BadAnswer: this is no answer of Multicall3 to that many calls
    """
    said = bytes_of(answer)
    if not said:
        raise BadAnswer("there is no Multicall3 at the address that the file of chains names")
    list_at = _number_at(said, 0)
    if _number_at(said, list_at) != count:
        raise BadAnswer(f"a multicall of {count} calls came back with another number of answers")
    first_at = list_at + _WORD
    return [_row_of(said, first_at + _number_at(said, first_at + row * _WORD)) for row in range(count)]


def _row_of(said: bytes, at: int) -> bytes | None:
    """Return the answer in one row, whether it succeeded, where its bytes begin, how many, the bytes."""
    data_at = at + _number_at(said, at + _WORD)
    length, begin = _number_at(said, data_at), data_at + _WORD
    if begin + length > len(said):
        raise BadAnswer("the answer to a multicall ends too early")
    return said[begin : begin + length] if _number_at(said, at) else None


def _number_at(said: bytes, at: int) -> int:
    """Return the word at a place.

    :raises BadAnswer: there is none
    """
    if at + _WORD > len(said):
        raise BadAnswer("the answer to a multicall ends too early")
    return int.from_bytes(said[at : at + _WORD])


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD)


def bytes_of(answer: object) -> bytes:
    """Return the bytes of a JSON-RPC answer.

    :raises BadAnswer: it is no hexadecimal text
    """
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise BadAnswer(f"the node answered {str(answer)[:40]!r} where bytes were expected")
    try:
        return bytes.fromhex(answer[2:])
    except ValueError as error:
        raise BadAnswer("the node answered something that is no hexadecimal") from error


def number_of(answer: bytes | None) -> int | None:
    """Return an unsigned number, None where the answer is anything but one word."""
    if answer is None or len(answer) != _WORD:
        return None
    return int.from_bytes(answer)


def round_of(answer: bytes | None) -> Round | None:
    """Return the last round of a feed, None where the answer is anything but five words."""
    if answer is None or len(answer) != 5 * _WORD:
        return None
    words = [answer[begin : begin + _WORD] for begin in range(0, len(answer), _WORD)]
    return Round(
        round_id=int.from_bytes(words[0]),
        answer=int.from_bytes(words[1], signed=True),
        started_at_s=int.from_bytes(words[2]),
        updated_at_s=int.from_bytes(words[3]),
        answered_in=int.from_bytes(words[4]),
    )
