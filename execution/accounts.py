"""The accounts behind live orders: whose keys sign for an account name, and what an account looks like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from accounts.models import LiveAccount
from accounts.sealing import AccountKeys, SealBroken, keys_open
from core.ids import fingerprint
from execution.desks import portfolio_of
from markets.exchanges import AccessRefused


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """What it takes to trade for one account.

    :param venue: as ccxt names it
    :param policy: "spot" or "perp": the market its orders go to
    :param quote: the currency the account is kept in, e.g. "USDT"
    :param credential_id: whose connections are shared
    :param version: another one whenever the key is exchanged
    """

    venue: str
    sandbox: bool
    policy: str
    quote: str
    credential_id: int
    version: str
    keys: AccountKeys


class KeysOf(Protocol):
    """Finds the keys of an account by the name orders bear, "portfolio:7"."""

    def __call__(self, account: str) -> LiveKeys:
        """Return them.

        :raises RetryLater: there is no such account, or its keys cannot be used
        """
        ...


def live_keys(account: str) -> LiveKeys:
    """Return the keys of the account that a portfolio is connected to, by its name.

    :raises AccessRefused: it is connected to none, or the key was revoked or cannot be opened
    """
    row = LiveAccount.objects.select_related("credential").filter(pk=portfolio_of(account=account)).first()
    if row is None:
        raise AccessRefused(f"{account} is connected to no account at a venue; connect one on its Live page")
    try:
        keys = keys_open(credential=row.credential)
    except SealBroken as error:
        raise AccessRefused(str(error)) from error
    return LiveKeys(
        venue=row.venue,
        sandbox=row.sandbox,
        policy=row.policy,
        quote=row.quote,
        credential_id=row.credential_id,
        version=fingerprint(row.credential.sealed),
        keys=keys,
    )


@dataclass(frozen=True, slots=True)
class CoinBalance:
    """What an account holds of one coin, in units of it; ``locked`` stands behind its own orders."""

    coin: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A perpetual position of an account.

    :param instrument_code: ours; the venue's own name where we know no instrument for it
    :param quantity: signed units of the instrument
    """

    instrument_code: str
    quantity: Decimal
    entry_price: Decimal
    unrealized_pnl: Decimal
    leverage: Decimal | None
    margin_mode: str


@dataclass(frozen=True, slots=True)
class AccountLook:
    """An account as its venue shows it, ours and not ours together.

    :param equity: of a perpetuals account, in its quote, unrealized P&L included; None for a spot account,
        whose coins the reader values
    :param position_mode: "one_way" or "hedge"; empty for spot
    :param seen_at: when it was read
    """

    balances: tuple[CoinBalance, ...]
    positions: tuple[HeldPosition, ...]
    equity: Decimal | None
    position_mode: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class AccountCheck:
    """Whether an account can be traded with: problems forbid it, notes are good to know; both in words."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]
