"""The source of exchange accounts, read with a key that may read and nothing else (FOL-3).

Keys are opened in ``prepare``, from the database, and live in this process's memory only: never in a task's
arguments, the cache or a log. A key's client is kept, as many as are in use, and all of a venue's share one
pool of connections. What an account is worth is in ``traders.domain.accounts``, how each venue tells it in
``traders.sources.exchanges``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from time import perf_counter
from typing import Any, Final

import aiohttp
from django.conf import settings

from accounts.models import Credential
from accounts.sealing import AccountKeys, SealBroken, keys_open
from core.clock import WorldTime
from core.errors import EnsembleError, InputError
from core.ids import fingerprint
from core.instruments import underlying_of
from core.types import TraderKind
from markets.budget import asking
from markets.exchange_meter import ExchangeMeter
from markets.exchanges import exchange_make
from markets.models import LIVE
from markets.selectors import instrument_names, marks_for
from markets.venue_rules import MARK_FRESH, coin_same
from markets.venue_tickers import TickerDesk
from traders.domain.accounts import (
    Account,
    AccountKey,
    Dust,
    Known,
    account_equity,
    account_positions,
    coin_prices,
    coins_unpriced,
)
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, TraderPosition, TraderRead
from traders.models import Trader
from traders.payloads import positions_load
from traders.sources.base import SourceHistory, read_failure
from traders.sources.exchanges import READERS, Asker, Contracts

CLIENTS_MOST: Final = 128  # more than are ever read at once, so that none in use is closed


@dataclass(frozen=True, slots=True)
class _Opened:
    """An account that may be read, and what was known of it."""

    where: AccountKey
    sandbox: bool
    asker: str
    version: str
    keys: AccountKeys = field(repr=False)
    known: Mapping[str, Known] = field(default_factory=dict)


class ExchangeSource:
    """Reads accounts, one per call, since each key has requests of its own."""

    max_batch = 1
    authoritative = False
    networked = True

    def __init__(self) -> None:
        self._meter = ExchangeMeter()
        self._desk = TickerDesk(meter=self._meter)
        self._found: dict[str, _Opened | ReadFailure] = {}
        self._names: frozenset[str] = frozenset()
        self._marks: Mapping[str, Decimal] = {}
        self._clients: OrderedDict[int, tuple[str, Any]] = OrderedDict()
        self._shared: dict[str, tuple[aiohttp.ClientSession, ssl.SSLContext]] = {}
        self._contracts: dict[str, Contracts] = {}

    def prepare(self, keys: Sequence[str], *, clock: WorldTime, now: datetime) -> None:
        """Open the keys of these accounts and fetch what was last known; each fails by itself."""
        self._names = instrument_names()
        marks = marks_for(world=LIVE, now=now).values()
        self._marks = {mark.code: mark.price for mark in marks if now - mark.received_at < MARK_FRESH}
        for key in keys:
            self._found[key] = _open(key)

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Read accounts side by side; one result per key, failures as values."""
        reads = (self._read_one(key, clock=clock, now=now, max_wait_s=max_wait_s) for key in keys)
        return list(await asyncio.gather(*reads))

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return no past: exchanges tell what an account has, not how it came to it."""
        return SourceHistory(recent_pnl=(), ever_traded=True)

    async def close(self) -> None:
        """Give back connections."""
        await self._desk.close()
        for _, client in self._clients.values():
            await client.close()
        for session, _ in self._shared.values():
            await session.close()
        self._clients.clear()
        self._shared.clear()
        self._found.clear()
        await self._meter.close()

    async def _read_one(self, key: str, *, clock: WorldTime, now: datetime, max_wait_s: float) -> ReadResult:
        opened = self._found.pop(key)
        if isinstance(opened, ReadFailure):
            return ReadResult(key=key, asked_at=now, failure=opened)
        started_s, read, failure = perf_counter(), None, None
        try:
            with asking(asker=opened.asker, max_wait_s=max_wait_s):
                read = await self._state(opened, clock=clock, now=now)
        except EnsembleError as error:
            failure = read_failure(error)
        duration_ms = round((perf_counter() - started_s) * 1000)
        return ReadResult(key=key, asked_at=now, read=read, failure=failure, duration_ms=duration_ms)

    async def _state(self, opened: _Opened, *, clock: WorldTime, now: datetime) -> TraderRead:
        where = opened.where
        client = await self._client(opened)
        contracts = self._contracts.setdefault(f"{where.venue} {opened.sandbox}", Contracts())
        asker = Asker(client=client, keys=opened.keys, contracts=contracts)
        wallets = await READERS[where.venue](asker, contracts=where.contracts)
        tickers = await self._desk.tickers(where.venue)
        coins = {*wallets.holdings, *wallets.pnl, *(leg.settle for leg in wallets.legs)}
        account = Account(
            holdings=wallets.holdings,
            prices=coin_prices(coins, lookup=tickers.lookup),
            pnl=wallets.pnl,
            legs=tuple(wallets.legs),
        )
        equity = account_equity(account)
        dust = Dust(usd=settings.EXCHANGE_DUST_USD, fraction=settings.EXCHANGE_DUST_PCT / 100)
        held = account_positions(account, equity=equity, dust=dust, known=opened.known)
        copied = tuple(one for one in held if self._copyable(one))
        return TraderRead(
            equity=equity,
            positions=copied,
            world_at=clock.at(now),
            run=clock.run,
            notes=_notes(account, held, copied),
        )

    def _copyable(self, position: TraderPosition) -> bool:
        """Tell whether there is such an instrument here, and it is the same coin: two may bear one name."""
        here, there = self._marks.get(position.code), position.mark_price
        if here is not None and there is not None and not coin_same(here=here, there=there):
            return False
        return bool(self._names & {position.code, underlying_of(position.code)[0]})

    async def _client(self, opened: _Opened) -> Any:
        """Return the client of a key, made when it is first used or has changed."""
        number = opened.where.credential_id
        version, client = self._clients.pop(number, ("", None))
        if client is not None and version != opened.version:
            await client.close()
            client = None
        if client is None:
            client = self._make(opened)
        self._clients[number] = (opened.version, client)
        while len(self._clients) > CLIENTS_MOST:
            _, (_, oldest) = self._clients.popitem(last=False)
            await oldest.close()
        return client

    def _make(self, opened: _Opened) -> Any:
        venue, sandbox = opened.where.venue, opened.sandbox
        client = exchange_make(venue=venue, sandbox=sandbox, keys=opened.keys, asynchronous=True)
        client.timeout_on_exit = 0
        if venue not in self._shared:
            client.open()  # with ccxt's own rules for certificates
            self._shared[venue] = (client.session, client.ssl_context)
            client.tcp_connector = None  # so that this client's end is not the connections' end
        client.session, client.ssl_context = self._shared[venue]
        client.own_session = False
        return self._meter.attach(client, sandbox=sandbox, account=str(opened.where.credential_id))


def _open(key: str) -> _Opened | ReadFailure:
    try:
        where = AccountKey.parse(key)
    except InputError as error:
        return ReadFailure(FailureKind.FAILED, error.message)
    rows = Credential.objects.filter(venue=where.venue, purpose=Credential.Purpose.FOLLOW)
    credential = rows.filter(pk=where.credential_id).first()
    if credential is None:
        return ReadFailure(FailureKind.FAILED, "the key of this account is gone; enter it anew")
    if credential.check_error:
        reason = f"its key is not used any more ({credential.check_error}); look at your keys"
        return ReadFailure(FailureKind.FAILED, reason)
    try:
        keys = keys_open(credential=credential)
    except SealBroken as error:
        return ReadFailure(FailureKind.FAILED, str(error))
    trader = Trader.objects.filter(kind=TraderKind.EXCHANGE, key=key, owner=credential.owner_id)
    latest = trader.select_related("latest_snapshot").first()
    rows_before = latest.latest_snapshot.positions if latest and latest.latest_snapshot else []
    return _Opened(
        where=where,
        sandbox=credential.sandbox,
        asker=str(credential.owner_id),
        version=fingerprint(credential.sealed, credential.sandbox),
        keys=keys,
        known={row.code: Known(row.quantity, row.entry_price) for row in positions_load(rows_before)},
    )


def _notes(
    account: Account, held: Sequence[TraderPosition], copied: Sequence[TraderPosition]
) -> tuple[str, ...]:
    """Return what a person should know of this read: what is not counted, and what cannot be copied."""
    notes = []
    if unpriced := coins_unpriced(account):
        notes.append(f"Without any price, and not counted: {', '.join(unpriced)}.")
    names = {position.code for position in copied}
    if left := [position.code for position in held if position.code not in names]:
        notes.append(f"Counted, but cannot be copied: {', '.join(left)}.")
    return tuple(notes)
