"""Reading wallets of one chain in one look: the block, and every coin of every wallet in it.

A look costs two or three messages whatever the number of wallets: the newest block and what became of blocks
read before; the block that is deep enough; and all calls, pinned to that block by its hash (EIP-1898),
through Multicall3 or as one batch. So an answer is of one block or there is none.

A call that fails inside a multicall may be the victim of another that burnt all gas. It is asked again by
itself, with a limit of gas of its own; what fails then too has failed by its own fault, and is asked apart
from the others for an hour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.errors import BadAnswer, RetryLater
from traders.domain.chains import Chain
from traders.domain.wallets import Block, ChainFacts, coin_quotes
from traders.evm.calls import (
    BALANCE_OF,
    DECIMALS,
    ETH_BALANCE,
    LAST_ROUND,
    TOTAL_SUPPLY,
    Call,
    aggregate3_answers,
    aggregate3_data,
    bytes_of,
    number_of,
    round_of,
    with_address,
)
from traders.evm.rpc import CallFailed, RpcClient

CALL_GAS: Final = 200_000  # several times what an honest balance costs, proxies included
CALLS_A_REQUEST: Final = 100  # × CALL_GAS = 20 million, within what nodes allow one call
BATCH_MAX: Final = 100  # requests in one message
SUSPECT_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class ChainLook:
    """What one look found.

    :param balances: by wallet, then by code, in the coin's smallest unit
    :param hashes: what hash the chain has now at heights asked about; None above its top
    """

    facts: ChainFacts
    balances: Mapping[str, Mapping[str, int | None]]
    hashes: Mapping[int, str | None]


class ChainNode:
    """One chain's node, and which of its contracts lied lately. Belongs to one event loop."""

    def __init__(self, *, chain: Chain, client: RpcClient) -> None:
        self.chain = chain
        self._client = client
        self._suspects: dict[str, float] = {}  # contract → until when it is asked apart
        self._checked: dict[str, str] = {}  # contract → empty where its decimals are those of the list

    async def look(
        self,
        wallets: Sequence[str],
        *,
        heights: Collection[int],
        marks: Mapping[str, Any],
        now: datetime,
        max_wait_s: float,
    ) -> ChainLook:
        """Read wallets, by address, in one block.

        :param heights: of which blocks the present hash is wanted
        :param marks: our live marks, for coins whose feed has no price
        :raises RetryLater: the node is of another chain, stands still, or gave no usable answer
        """
        block, hashes = await self._block(heights, now=now, max_wait_s=max_wait_s)
        calls = self._calls(wallets)
        answers = dict(zip(calls, await self._ask(list(calls), block, max_wait_s=max_wait_s), strict=True))
        self._check_decimals(answers)
        rounds = {
            name: round_of(answers[Call(feed.address, LAST_ROUND)])
            if self._checked.get(feed.address) == ""
            else None
            for name, feed in self.chain.feeds.items()
        }
        quotes = coin_quotes(chain=self.chain, rounds=rounds, block_at_s=block.at_s, marks=marks)
        balances = {
            wallet: {
                coin.code: number_of(answers[self._balance_call(coin.address, wallet)])
                for coin in self.chain.coins
            }
            for wallet in wallets
        }
        for wallet in wallets:
            if balances[wallet][self.chain.native.code] is None:
                raise BadAnswer(f"{self.chain.label} does not say how much {self.chain.native.code} is held")
        facts = ChainFacts(
            block=block, quotes=quotes, supplies=self._supplies(answers), faults=self._faults()
        )
        return ChainLook(facts=facts, balances=balances, hashes=hashes)

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    # ------------------------------------------------------------ the block
    async def _block(
        self, heights: Collection[int], *, now: datetime, max_wait_s: float
    ) -> tuple[Block, dict[int, str | None]]:
        """Return the block to read, and the hashes at other heights."""
        asked: list[tuple[str, list[Any]]] = [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["latest", False]),
            *(("eth_getBlockByNumber", [hex(height), False]) for height in heights),
        ]
        chain_id, newest, *others = await self._client.ask(asked, max_wait_s=max_wait_s)
        if _whole(chain_id) != self.chain.chain_id:
            raise RetryLater(
                f"the node named for {self.chain.label} is of chain {_whole(chain_id)}, "
                f"not {self.chain.chain_id}: {self.chain.rpc_variable} is wrong"
            )
        head = _block_of(newest)
        age_s = now.timestamp() - head.at_s
        if age_s > self.chain.still_s:
            raise RetryLater(
                f"the {self.chain.label} node stands still at block {head.number}, {age_s:.0f} s old"
            )
        hashes = {
            height: None if found is None else _block_of(found).hash
            for height, found in zip(heights, others, strict=True)
        }
        height = max(0, head.number - self.chain.confirmations)
        if height == head.number:
            return head, hashes
        (found,) = await self._client.ask(
            [("eth_getBlockByNumber", [hex(height), False])], max_wait_s=max_wait_s
        )
        if found is None:
            raise RetryLater(f"{self.chain.label} has no block {height} any more; it is reorganising")
        return _block_of(found), hashes

    # ------------------------------------------------------------ the calls
    def _calls(self, wallets: Sequence[str]) -> dict[Call, None]:
        """Return every call of a look, each once."""
        feeds = [feed.address for feed in self.chain.feeds.values()]
        tokens = [token.address for token in self.chain.tokens]
        new = [address for address in (*feeds, *tokens) if address not in self._checked]
        shared = [
            *(Call(address, DECIMALS) for address in new),
            *(Call(address, LAST_ROUND) for address in feeds),
            *(Call(address, TOTAL_SUPPLY) for address in tokens),
        ]
        held = [self._balance_call(coin.address, wallet) for wallet in wallets for coin in self.chain.coins]
        return dict.fromkeys((*shared, *held))

    def _balance_call(self, address: str, wallet: str) -> Call:
        """Return the call for a balance; of the chain's own coin it is Multicall3 that says."""
        if not address:
            return Call(self.chain.multicall, with_address(ETH_BALANCE, wallet))
        return Call(address, with_address(BALANCE_OF, wallet))

    async def _ask(self, calls: Sequence[Call], block: Block, *, max_wait_s: float) -> list[bytes | None]:
        """Return every call's answer, None where the contract failed."""
        now_s = asyncio.get_running_loop().time()
        self._suspects = {address: until for address, until in self._suspects.items() if until > now_s}
        groups: dict[bool, list[Call]] = {True: [], False: []}
        for call in calls:
            groups[bool(self.chain.multicall) and call.target not in self._suspects].append(call)
        together, apart = groups[True], groups[False]
        parts = [
            together[begin : begin + CALLS_A_REQUEST] for begin in range(0, len(together), CALLS_A_REQUEST)
        ]
        asked = [
            *(
                self._eth_call(self.chain.multicall, aggregate3_data(part), len(part), block)
                for part in parts
            ),
            *(self._single(call, block) for call in apart),
        ]
        results = await self._send(asked, max_wait_s=max_wait_s)
        found: dict[Call, bytes | None] = {}
        for part, result in zip(parts, results, strict=False):
            if isinstance(result, CallFailed):  # one call burnt the gas of all
                found |= dict.fromkeys(part)
            else:
                found |= zip(part, aggregate3_answers(result, count=len(part)), strict=True)
        found |= {
            call: _answer(call, result) for call, result in zip(apart, results[len(parts) :], strict=True)
        }
        failed = [call for call in together if found[call] is None]
        if failed:
            again = await self._send([self._single(call, block) for call in failed], max_wait_s=max_wait_s)
            found |= {call: _answer(call, result) for call, result in zip(failed, again, strict=True)}
            self._suspects |= {call.target: now_s + SUSPECT_S for call in failed if found[call] is None}
        return [found[call] for call in calls]

    async def _send(self, asked: Sequence[tuple[str, list[Any]]], *, max_wait_s: float) -> list[Any]:
        results: list[Any] = []
        for begin in range(0, len(asked), BATCH_MAX):
            results += await self._client.ask(asked[begin : begin + BATCH_MAX], max_wait_s=max_wait_s)
        return results

    def _single(self, call: Call, block: Block) -> tuple[str, list[Any]]:
        """Return the request for one call by itself."""
        if call.data[:4] == ETH_BALANCE:
            return "eth_getBalance", ["0x" + call.data[-20:].hex(), _pinned(block)]
        return self._eth_call(call.target, "0x" + call.data.hex(), 1, block)

    def _eth_call(self, target: str, data: str, calls: int, block: Block) -> tuple[str, list[Any]]:
        # What a call costs before it runs grows with its data: 16 gas a byte at most.
        gas = calls * CALL_GAS + 100_000 + 8 * len(data)
        return "eth_call", [{"to": target, "data": data, "gas": hex(gas)}, _pinned(block)]

    # ------------------------------------------------------------ what contracts say of themselves
    def _check_decimals(self, answers: Mapping[Call, bytes | None]) -> None:
        """Compare the list's decimals with the contracts', each once; without an answer, again next time."""
        wanted = {feed.address: feed.decimals for feed in self.chain.feeds.values()}
        wanted |= {token.address: token.decimals for token in self.chain.tokens}
        for address, decimals in wanted.items():
            said = number_of(answers.get(Call(address, DECIMALS)))
            if said is not None:
                right = said == decimals
                self._checked[address] = "" if right else f"it has {said} decimals and not {decimals}"

    def _supplies(self, answers: Mapping[Call, bytes | None]) -> dict[str, int]:
        said = {
            token.code: number_of(answers[Call(token.address, TOTAL_SUPPLY)]) for token in self.chain.tokens
        }
        return {code: supply for code, supply in said.items() if supply is not None}

    def _faults(self) -> dict[str, str]:
        """Return the tokens whose contract is not the one of the list, and why."""
        unknown = "it does not say how many decimals it has"
        return {
            token.code: fault
            for token in self.chain.tokens
            if (fault := self._checked.get(token.address, unknown))
        }


def _pinned(block: Block) -> dict[str, Any]:
    return {"blockHash": block.hash, "requireCanonical": True}


def _answer(call: Call, result: Any) -> bytes | None:
    if isinstance(result, CallFailed):
        return None
    if call.data[:4] == ETH_BALANCE:  # asked of the node itself, which answers a number
        return _whole(result).to_bytes(32)
    return bytes_of(result)


def _whole(value: Any) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError) as error:
        raise BadAnswer(f"the node answered {str(value)[:40]!r} where a number was expected") from error


def _block_of(found: Any) -> Block:
    if not isinstance(found, dict) or not isinstance(found.get("hash"), str):
        raise BadAnswer("the node answered no block where one was expected")
    return Block(number=_whole(found.get("number")), hash=found["hash"], at_s=_whole(found.get("timestamp")))
