"""The source of wallets on chains: their own coin and the tokens of our list, of one block, long only.

What a wallet is worth is decided in ``traders.domain.wallets``, how it is read in ``traders.evm.node``.
Tokens that are not in the list are never read. Deposits in contracts (lending, pools, staking) are in no
balance and not counted.

A block that we read and that the chain no longer has makes a read doubtful: it counts once a second look,
later, says the same, so that a reorganisation never closes anything by itself (SYN-5).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from time import perf_counter
from typing import Final

from core.clock import WorldTime
from core.errors import EnsembleError, RetryLater
from core.types import TraderKind
from markets.models import LIVE
from markets.selectors import marks_for
from traders.domain.chains import Chain
from traders.domain.reads import ReadFailure, ReadResult, TraderRead
from traders.domain.wallets import wallet_read
from traders.evm.chain_file import chain_rpc_url, chains_all
from traders.evm.node import ChainLook, ChainNode
from traders.evm.rpc import RpcClient
from traders.models import Trader
from traders.payloads import snapshot_read
from traders.sources.base import SourceHistory, read_failure


class EvmSource:
    """Reads wallets; those of one chain go into one look."""

    max_batch: Final = 25
    authoritative: Final = False
    networked: Final = True

    def __init__(self) -> None:
        self._nodes = {
            name: ChainNode(chain=chain, client=RpcClient(label=chain.label, url=url))
            for name, chain in chains_all().items()
            if (url := chain_rpc_url(chain=chain))
        }
        self._before: dict[str, TraderRead] = {}
        self._marks: Mapping[str, Decimal] = {}

    def group(self, key: str) -> str:
        """Return a key's chain."""
        return key.partition(":")[0]

    def prepare(self, keys: Sequence[str], *, clock: WorldTime, now: datetime) -> None:
        """Fetch the last reads of these wallets that counted, and our fresh live marks."""
        rows = Trader.objects.filter(kind=TraderKind.EVM, key__in=keys, world=clock.world, owner=None)
        known = {
            row.key: snapshot_read(row.latest_snapshot)
            for row in rows.select_related("latest_snapshot")
            if row.latest_snapshot is not None
        }
        for key in keys:
            self._before.pop(key, None)
        self._before |= known
        marks = marks_for(world=LIVE, now=now)
        self._marks = {code: mark.price for code, mark in marks.items() if not mark.stale}

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Read wallets by ``chain:0xaddress``, each chain's together; one result per key."""
        chains: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            chains[self.group(key)].append(key)
        reads = await asyncio.gather(
            *(
                self._chain_read(name, group, clock=clock, now=now, max_wait_s=max_wait_s)
                for name, group in chains.items()
            )
        )
        results = {result.key: result for group in reads for result in group}
        return [results[key] for key in keys]

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return that nothing is known: a chain keeps balances and no profit and loss."""
        return SourceHistory(recent_pnl=(), ever_traded=False)

    async def close(self) -> None:
        """Give back connections."""
        for node in self._nodes.values():
            await node.close()

    async def _chain_read(
        self, name: str, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        started_s = perf_counter()
        before = {key: self._before.pop(key) for key in keys if key in self._before}
        reads: dict[str, TraderRead] = {}
        failures: dict[str, ReadFailure] = {}
        try:
            node = self._node(name)
            look = await self._look(node, keys, before, now=now, max_wait_s=max_wait_s)
        except EnsembleError as error:
            failures = dict.fromkeys(keys, read_failure(error))
        else:
            for key in keys:
                try:
                    reads[key] = _read(node.chain, key, look, before.get(key), clock=clock, now=now)
                except RetryLater as error:
                    failures[key] = read_failure(error)
        duration_ms = round((perf_counter() - started_s) * 1000)
        return [
            ReadResult(
                key=key,
                asked_at=now,
                read=reads.get(key),
                failure=failures.get(key),
                duration_ms=duration_ms,
            )
            for key in keys
        ]

    def _node(self, name: str) -> ChainNode:
        """Return a chain's node.

        :raises RetryLater: the chain is switched off here, or in the file no more
        """
        node = self._nodes.get(name)
        if node is None:
            raise RetryLater(
                f"the chain {name} is switched off on this server: EVM_RPC_{name.upper()} is empty"
            )
        return node

    async def _look(
        self,
        node: ChainNode,
        keys: Sequence[str],
        before: Mapping[str, TraderRead],
        *,
        now: datetime,
        max_wait_s: float,
    ) -> ChainLook:
        heights = sorted({read.origin["block"] for read in before.values() if "block" in read.origin})
        wallets = [key.partition(":")[2] for key in keys]
        return await node.look(wallets, heights=heights, marks=self._marks, now=now, max_wait_s=max_wait_s)


def _read(
    chain: Chain, key: str, look: ChainLook, before: TraderRead | None, *, clock: WorldTime, now: datetime
) -> TraderRead:
    """Return one wallet's read.

    :raises RetryLater: the node has fallen behind the block that was read before
    """
    return wallet_read(
        chain=chain,
        facts=look.facts,
        balances=look.balances[key.partition(":")[2]],
        previous=before,
        doubt=_doubt(chain, look, before),
        world_at=clock.at(now),
        run=clock.run,
    )


def _doubt(chain: Chain, look: ChainLook, before: TraderRead | None) -> str:
    """Return why a read is to be seen twice: the chain no longer has the block that was read before it.

    :raises RetryLater: the node has fallen behind that block
    """
    if before is None or "block" not in before.origin:
        return ""
    height, known = before.origin["block"], before.origin["hash"]
    now_there, read_at = look.hashes.get(height), look.facts.block.number
    if now_there is None or read_at < height:
        raise RetryLater(
            f"the {chain.label} node is at block {read_at}, behind block {height} that was read before"
        )
    if now_there == known:
        return ""
    return f"{chain.label} was reorganised: block {height} that was read before is no longer in it"
