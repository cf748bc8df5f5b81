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
    """Return the call data, as hexadecimal, that asks Multicall3 all of these; each may fail by itself."""
    from eth_abi import encode

    rows = [(call.target, True, call.data) for call in calls]
    return "0x" + (AGGREGATE3 + encode(["(address,bool,bytes)[]"], [rows])).hex()


def aggregate3_answers(answer: str, *, count: int) -> list[bytes | None]:
    """Return each call's answer, None where it failed.

    :raises BadAnswer: this is no answer of Multicall3 to that many calls
    """
    from eth_abi import decode
    from eth_abi.exceptions import DecodingError

    said = bytes_of(answer)
    if not said:
        raise BadAnswer("there is no Multicall3 at the address that the file of chains names")
    try:
        (rows,) = decode(["(bool,bytes)[]"], said)
    except (DecodingError, OverflowError) as error:
        raise BadAnswer(f"the answer to a multicall cannot be read ({type(error).__name__})") from error
    if len(rows) != count:
        raise BadAnswer(f"a multicall of {count} calls came back with {len(rows)} answers")
    return [data if success else None for success, data in rows]


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
