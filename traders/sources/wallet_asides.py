"""What a Hyperliquid wallet has beside its account: deposits in vaults, staked HYPE; whether it is a vault.

These cost ten times what a state does and change seldom. They are asked for every ten minutes where there is
anything, every six hours where there is nothing, and whenever the account itself has grown or shrunk by a
quarter, since money may have moved. They are asked for only where the budget has room, behind the sync of
everybody: an old answer, or none for the first minutes, is better than a trader that is not read. An answer
by which most of it is gone is believed when a second one, a minute later, says so too (SYN-5); a vault that
is said to be none stays one.
Sources: Hyperliquid docs, "Info endpoint" (``userVaultEquities``, ``delegatorSummary``, ``vaultDetails``).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from core.decimals import ZERO, dollars, plain
from core.errors import BadAnswer, RetryLater
from markets.budget import asking
from markets.domain.allowance import BudgetPriority
from markets.hyperliquid import InfoClient

SOME_FOR: Final = timedelta(minutes=10)
NONE_FOR: Final = timedelta(hours=6)
AGAIN: Final = timedelta(minutes=1)
VAULT_FOR: Final = timedelta(hours=24)
FIRST_WAIT_S: Final = 4.0  # for room in the budget, while nothing is known yet
HYPE: Final = "HYPE"
MOVED: Final = (Decimal("0.8"), Decimal("1.25"))  # of what the account was worth when it was asked
log = structlog.get_logger(__name__)


class WalletAside(msgspec.Struct, frozen=True):
    """What lies beside a wallet's account.

    :param account: what the account itself was worth when this was asked, quote currency
    :param vaults: deposit by address of the vault, quote currency
    :param staked: HYPE, delegated or not, and on its way out
    :param name: of the vault that this address is, empty for a wallet
    :param children: vaults that trade for this one
    :param doubted: a later answer said that most of this is gone, and was not believed yet
    """

    asked_at: datetime
    account: Decimal
    vaults: dict[str, Decimal]
    staked: Decimal
    vault_asked_at: datetime
    name: str = ""
    leader: str = ""
    children: tuple[str, ...] = ()
    doubted: bool = False

    def due(self, *, now: datetime, account: Decimal) -> bool:
        """Tell whether it is time to ask again."""
        kept = SOME_FOR if self.vaults or self.staked else NONE_FOR
        if now - self.asked_at >= (AGAIN if self.doubted else kept):
            return True
        low, high = (share * abs(self.account) for share in MOVED)
        return not low <= abs(account) <= high and now - self.asked_at >= AGAIN

    def deposits(self) -> dict[str, Decimal]:
        """Return deposits in vaults that are read by themselves in no other place, by address."""
        return {address: equity for address, equity in self.vaults.items() if address not in self.children}

    def equity(self, *, hype: Decimal) -> Decimal:
        """Return what lies here, quote currency; ``hype`` is the price of one HYPE."""
        return sum(self.deposits().values(), ZERO) + self.staked * hype

    def notes(self, *, hype: Decimal) -> tuple[str, ...]:
        """Return what a person should know, one sentence each; ``hype`` is the price of one HYPE."""
        said = []
        if self.name:
            said.append(f"This is the vault “{self.name}”, led by {self.leader[:6]}…{self.leader[-4:]}.")
        if self.children:
            said.append(f"{len(self.children)} vaults trade for it and are read with it.")
        if deposits := self.deposits():
            total = dollars(sum(deposits.values(), ZERO))
            said.append(f"{total} in {len(deposits)} of other traders' vaults count as equity.")
        if self.staked:
            said.append(f"{plain(self.staked)} staked HYPE, {dollars(self.staked * hype)}, count as equity.")
        return tuple(said)


class _VaultEquity(msgspec.Struct, frozen=True, rename="camel"):
    vault_address: str
    equity: Decimal


class _Staking(msgspec.Struct, frozen=True, rename="camel"):
    delegated: Decimal
    undelegated: Decimal
    total_pending_withdrawal: Decimal


class _Children(msgspec.Struct, frozen=True, rename="camel"):
    child_addresses: tuple[str, ...] = ()


class _Relationship(msgspec.Struct, frozen=True):
    data: _Children | None = None


class _Vault(msgspec.Struct, frozen=True):
    name: str
    leader: str
    relationship: _Relationship = _Relationship()


async def aside_ask(
    *, client: InfoClient, address: str, known: WalletAside | None, account: Decimal, now: datetime
) -> WalletAside | None:
    """Ask what lies beside an account; return None where there is no room or no usable answer."""
    try:
        with asking(priority=BudgetPriority.PREVIEW):
            return await _ask(client, address, known, account, now)
    except RetryLater as error:
        log.info("wallet_aside_not_asked", address=address, reason=str(error))
        return None


async def _ask(
    client: InfoClient, address: str, known: WalletAside | None, account: Decimal, now: datetime
) -> WalletAside:
    wanted = ["userVaultEquities", "delegatorSummary"]
    again = known is None or now - known.vault_asked_at >= VAULT_FOR
    room_s = FIRST_WAIT_S if known is None else 0
    await client.pay([*wanted, *(["vaultDetails"] if again else [])], max_wait_s=room_s)
    user = {"user": address}
    equities, staking, vault = await asyncio.gather(
        client.ask({"type": wanted[0], **user}, list[_VaultEquity], max_wait_s=0, paid=True),
        client.ask({"type": wanted[1], **user}, _Staking, max_wait_s=0, paid=True),
        _vault_ask(client, address) if again else _nothing(),
    )
    staked = staking.delegated + staking.undelegated + staking.total_pending_withdrawal
    deposits = {row.vault_address.lower(): row.equity for row in equities if row.equity != 0}
    if not all(value.is_finite() and value >= 0 for value in (staked, *deposits.values())):
        raise BadAnswer(f"Hyperliquid says {staked} HYPE are staked and {deposits} lie in vaults")
    if known is not None and not known.doubted and _shrunk(known, deposits, staked):
        return msgspec.structs.replace(known, asked_at=now, account=account, doubted=True)
    if known is not None and (not again or (vault is None and known.name)):
        return msgspec.structs.replace(
            known, asked_at=now, account=account, vaults=deposits, staked=staked, doubted=False
        )
    relation = vault.relationship.data if vault is not None else None
    return WalletAside(
        asked_at=now,
        account=account,
        vaults=deposits,
        staked=staked,
        vault_asked_at=now,
        name=vault.name[:80] if vault is not None else "",
        leader=vault.leader if vault is not None else "",
        children=tuple(child.lower() for child in relation.child_addresses) if relation else (),
    )


def _shrunk(known: WalletAside, deposits: dict[str, Decimal], staked: Decimal) -> bool:
    """Tell whether more than half of the deposits, or of what was staked, is gone."""
    before, after = sum(known.vaults.values(), ZERO), sum(deposits.values(), ZERO)
    return after * 2 < before or staked * 2 < known.staked


async def _vault_ask(client: InfoClient, address: str) -> _Vault | None:
    request = {"type": "vaultDetails", "vaultAddress": address}
    return await client.ask(request, _Vault | None, max_wait_s=0, paid=True)  # type: ignore[arg-type]


async def _nothing() -> None:
    return None
