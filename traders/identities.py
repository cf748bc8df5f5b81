"""Which trader a person means: what was typed or picked, checked, by kind. Nothing is stored.

Adding a kind means adding a function here and a line to ``IDENTIFIERS``. A private trader, one behind
somebody's own credentials, carries its owner; for everybody else it does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from accounts.models import Credential, User
from core.errors import InputError, NotFound
from core.types import TraderKind
from markets.models import LIVE
from traders.domain.accounts import READ_HERE, VENUES, AccountKey
from traders.evm.addresses import wallet_key_parse
from traders.models import PushAgent
from traders.recordings import recorded_trader_get
from traders.strategies.pairs import pair_set_get

STRATEGY_NOTE: Final = (
    "Decides on closed five-minute candles. Its own book is virtual: 10,000 at the start, bought and sold at "
    "the candle's close, without fees. What following it costs shows in your fills."
)
CHAIN_NOTE: Final = (
    "Its {coin} and the {tokens} tokens of this server's list are read, nothing else: what lies in lending, "
    "pools or staking on {chain} is not counted. A wallet does not say what it paid, so entry is the price "
    "when we first saw a unit."
)
# What is said of an address that holds nothing and never did.
NEVER_USED: Final[Mapping[TraderKind, str]] = {
    TraderKind.HYPERLIQUID: (
        "This address has never traded on Hyperliquid. Check it for a typing error, "
        "or that it is the trading account itself rather than an API wallet."
    ),
    TraderKind.EVM: (
        "This address holds nothing of what is read on that chain. Check it for a typing error, "
        "and that it is the right chain."
    ),
}
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class TraderIdentity:
    """A trader by what it is, whether or not anybody follows it yet.

    :param owner: whose private trader it is; None for one that everybody shares
    :param credential: the owner's key it is read with, where it needs one
    """

    kind: TraderKind
    key: str
    name: str
    monogram: str
    detail: str
    note: str
    world: str
    owner: User | None = None
    credential: Credential | None = None


Identifier = Callable[[str, User | None], TraderIdentity]


def trader_identify(*, kind: str, key: str, owner: User | None = None) -> TraderIdentity:
    """Check what a person typed or picked and say which trader it names.

    :param owner: who asks; private traders are found for their owner alone
    :raises InputError: an unknown kind, an address that is none; a recorded trader, a strategy or a set of
        pairs that does not exist
    :raises NotFound: a private trader of somebody else
    """
    known = {known.value: known for known in IDENTIFIERS}
    if kind not in known:
        raise InputError(
            f"There is no kind of trader named {kind!r}. Known kinds: {', '.join(known)}.", field="kind"
        )
    return IDENTIFIERS[known[kind]](key.strip(), owner)


def recorded_identity(key: str, _: User | None) -> TraderIdentity:
    """Return a recorded trader by its name."""
    recorded = recorded_trader_get(key=key)
    return TraderIdentity(
        kind=TraderKind.REPLAY,
        key=recorded.key,
        name=recorded.name,
        monogram=recorded.monogram,
        detail=recorded.detail,
        note=recorded.note,
        world=recorded.world,
    )


def wallet_identity(key: str, _: User | None) -> TraderIdentity:
    """Return a Hyperliquid wallet by its address."""
    address = key.lower()
    if not _ADDRESS.fullmatch(address):
        raise InputError(
            f"'{key[:60]}' is not a wallet address: it must be 0x followed by 40 digits 0-9 or a-f "
            f"(42 characters), this has {len(address)}.",
            field="key",
        )
    short = f"{address[:6]}…{address[-4:]}"
    return TraderIdentity(
        kind=TraderKind.HYPERLIQUID,
        key=address,
        name=short,
        monogram=address[2:4].upper(),
        detail=f"{short}, Hyperliquid",
        note="",
        world=LIVE,
    )


def chain_wallet_identity(key: str, _: User | None) -> TraderIdentity:
    """Return a wallet on a chain by ``chain:0xaddress``."""
    chain, address = wallet_key_parse(key=key)
    short = f"{address[:6]}…{address[-4:]}"
    return TraderIdentity(
        kind=TraderKind.EVM,
        key=f"{chain.name}:{address}",
        name=short,
        monogram=address[2:4].upper(),
        detail=f"{short}, wallet on {chain.label}",
        note=CHAIN_NOTE.format(chain=chain.label, coin=chain.native.code, tokens=len(chain.tokens)),
        world=LIVE,
    )


def strategy_identity(key: str, _: User | None) -> TraderIdentity:
    """Return a strategy on a set of pairs by ``strategy:set``."""
    pair_set = pair_set_get(key=key)
    return TraderIdentity(
        kind=TraderKind.STRATEGY,
        key=pair_set.key,
        name=pair_set.label,
        monogram="".join(word[0] for word in pair_set.strategy.label.split())[:2].upper(),
        detail=f"Strategy on {', '.join(pair_set.pairs)}"[:120],
        note=STRATEGY_NOTE,
        world=pair_set.world,
    )


def account_identity(key: str, owner: User | None) -> TraderIdentity:
    """Return the exchange account behind one of the person's own keys by ``venue:key's number``."""
    where = AccountKey.parse(key)
    own = Credential.objects.filter(owner=owner, venue=where.venue, purpose=Credential.Purpose.FOLLOW)
    credential = own.filter(pk=where.credential_id, revoked_at=None).first() if owner else None
    if credential is None:
        raise NotFound(f"There is no exchange account {key[:60]!r}.", field="key")
    if credential.check_error:
        raise InputError(
            f"The key {credential.name} is not used any more: {credential.check_error}", field="key"
        )
    parts = "" if where.contracts else ", spot only"
    return TraderIdentity(
        kind=TraderKind.EXCHANGE,
        key=key,
        name=credential.name,
        monogram=where.venue[:2].upper(),
        detail=f"{VENUES[where.venue]} account {credential.mask}{parts}",
        note=READ_HERE[where.venue],
        world=LIVE,
        owner=owner,
        credential=credential,
    )


def agent_identity(key: str, owner: User | None) -> TraderIdentity:
    """Return one of the asker's own agents by its id.

    :raises NotFound: there is none, it was revoked, or it is somebody else's
    """
    own = PushAgent.objects.filter(trader__key=key, trader__owner=owner, revoked_at__isnull=True)
    agent = own.select_related("trader").first() if owner is not None else None
    if agent is None:
        raise NotFound(f"There is no trader {key[:60]!r}.", field="key")
    trader = agent.trader
    return TraderIdentity(
        kind=TraderKind.PUSH,
        key=trader.key,
        name=trader.name,
        monogram=trader.monogram,
        detail=trader.detail,
        note=trader.note,
        world=trader.world,
        owner=owner,
    )


IDENTIFIERS: Final[Mapping[TraderKind, Identifier]] = {
    TraderKind.HYPERLIQUID: wallet_identity,
    TraderKind.REPLAY: recorded_identity,
    TraderKind.STRATEGY: strategy_identity,
    TraderKind.EVM: chain_wallet_identity,
    TraderKind.EXCHANGE: account_identity,
    TraderKind.PUSH: agent_identity,
}
