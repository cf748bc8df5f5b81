"""What the key of an account may do, read from each venue's own words. Pure.

A word that is not known here is never taken for harmless: it raises ``UnknownPermission``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.errors import BadAnswer, InputError


class UnknownPermission(InputError):
    """The venue says that the key may do something whose meaning is not known here."""


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What a key may do.

    :param read: see balances and positions
    :param trade: place or cancel orders
    :param moves: move money between the owner's own pockets, lend or convert it: no order, no withdrawal
    :param withdraw: send money away, or prepare it
    :param account_id: the account as the venue names it
    :param words: the venue's own words for what it may do, sorted
    """

    read: bool
    trade: bool
    withdraw: bool
    account_id: str
    words: tuple[str, ...]
    moves: bool = False


@dataclass(frozen=True, slots=True)
class _Words:
    """What the words of one venue mean."""

    read: frozenset[str] = frozenset()
    trade: frozenset[str] = frozenset()
    moves: frozenset[str] = frozenset()
    withdraw: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()

    def permissions(self, *, label: str, words: Iterable[str], account_id: str) -> KeyPermissions:
        """:raises UnknownPermission: a word is none of these"""
        said = frozenset(words)
        known = self.read | self.trade | self.moves | self.withdraw | self.harmless
        # Whatever speaks of withdrawing counts as that, however the venue comes to spell it.
        withdraw = {word for word in said if word in self.withdraw or "withdraw" in word.lower()}
        if unknown := sorted(said - known - withdraw):
            raise UnknownPermission(
                f"{label} says that the key may “{unknown[0][:40]}”, and what that is, is not known here. "
                "Make a key without it."
            )
        return KeyPermissions(
            read=bool(said & self.read),
            trade=bool(said & self.trade),
            moves=bool(said & self.moves),
            withdraw=bool(withdraw),
            account_id=account_id,
            words=tuple(sorted(said)),
        )


# developers.binance.com/docs/wallet/account/api-key-permission
_BINANCE: Final = _Words(
    read=frozenset({"enableReading"}),
    trade=frozenset(
        {
            "enableSpotAndMarginTrading",
            "enableFutures",
            "enableMargin",
            "enableVanillaOptions",
            "enablePortfolioMarginTrading",
            "enableFixApiTrade",
        }
    ),
    moves=frozenset({"enableInternalTransfer", "permitsUniversalTransfer"}),
    withdraw=frozenset({"enableWithdrawals"}),
    harmless=frozenset({"enableFixReadOnly"}),
)
# docs.kraken.com/api-reference/account-data/get-api-key-info
_KRAKEN: Final = _Words(
    read=frozenset({"query-funds"}),
    trade=frozenset({"modify-trades", "close-trades"}),
    moves=frozenset({"earn-funds"}),
    withdraw=frozenset({"withdraw-funds", "add-withdraw-address", "update-withdraw-address"}),
    harmless=frozenset(
        {
            "query-open-trades",
            "query-closed-trades",
            "query-ledger",
            "export-data",
            "add-funds",
            "create-ws-token",
        }
    ),
)
# docs.cdp.coinbase.com, "Get API Key Permissions"; to transfer is to send on-chain as well
_COINBASE: Final = _Words(
    read=frozenset({"can_view"}), trade=frozenset({"can_trade"}), withdraw=frozenset({"can_transfer"})
)
# www.okx.com/docs-v5, "Get account configuration": perm
_OKX: Final = _Words(
    read=frozenset({"read_only"}), trade=frozenset({"trade"}), withdraw=frozenset({"withdraw"})
)
# www.kucoin.com/docs-new, "Get Apikey Info"; Transfer and FlexTransfers may send to others' accounts
_KUCOIN: Final = _Words(
    read=frozenset({"General"}),
    trade=frozenset({"Spot", "Trade", "Margin", "Futures", "Unified", "LeadtradeFutures"}),
    moves=frozenset({"Earn", "InnerTransfer"}),
    withdraw=frozenset({"Transfer", "FlexTransfers", "Withdrawal"}),
)
# bybit-exchange.github.io/docs/v5/user/apikey-info: group/word
_BYBIT: Final = _Words(
    trade=frozenset(
        {
            "ContractTrade/Order",
            "ContractTrade/Position",
            "Spot/SpotTrade",
            "Options/OptionsTrade",
            "Derivatives/DerivativesTrade",
            "CopyTrading/CopyTrading",
            "BlockTrade/BlockTrade",
        }
    ),
    moves=frozenset(
        {
            "Wallet/AccountTransfer",
            "Wallet/SubMemberTransfer",
            "Wallet/SubMemberTransferList",
            "Exchange/ExchangeHistory",
            "Earn/Earn",
        }
    ),
    withdraw=frozenset({"Wallet/Withdraw", "FiatP2P/FiatP2POrder", "FiatBybitPay/FaitPayOrder"}),
    harmless=frozenset({"Affiliate/Affiliate"}),
)


def binance_permissions(*, restrictions: Mapping[str, Any], account: Mapping[str, Any]) -> KeyPermissions:
    """Read Binance's ``apiRestrictions``, and the account's number from its ``account``.

    :raises BadAnswer: it does not say whether the key may withdraw
    :raises UnknownPermission: it names something that is not known here
    """
    _need(restrictions, "enableWithdrawals", label="Binance")
    flags = (name for name, value in restrictions.items() if value is True and name != "ipRestrict")
    return _BINANCE.permissions(label="Binance", words=flags, account_id=_text(account, "uid", "Binance"))


def binance_test_permissions(*, account: Mapping[str, Any]) -> KeyPermissions:
    """Read an account of Binance's test environment, which lists no permissions and holds no money.

    :raises BadAnswer: it does not say whose key this is
    """
    trade = account.get("canTrade") is True
    words = ("test environment", *(["canTrade"] if trade else []))
    account_id = _text(account, "uid", "Binance")
    return KeyPermissions(read=True, trade=trade, withdraw=False, account_id=account_id, words=words)


def bybit_permissions(*, answer: Mapping[str, Any]) -> KeyPermissions:
    """Read Bybit's ``query-api``; a key that is read-only may do nothing but read, whatever groups it names.

    :raises BadAnswer: it does not say whether the key is read-only, or whose it is
    :raises UnknownPermission: it names something that is not known here
    """
    _need(answer, "readOnly", label="Bybit")
    groups = answer.get("permissions")
    if not isinstance(groups, Mapping):
        raise BadAnswer("Bybit did not say what the key may do")
    words = [f"{group}/{word}" for group, named in groups.items() for word in named or ()]
    account_id = _text(answer, "userID", "Bybit")
    if str(answer["readOnly"]) == "1":
        said = tuple(sorted({"readOnly", *words}))
        return KeyPermissions(read=True, trade=False, withdraw=False, account_id=account_id, words=said)
    found = _BYBIT.permissions(label="Bybit", words=words, account_id=account_id)
    return KeyPermissions(
        read=True,
        trade=found.trade,
        moves=True,
        withdraw=found.withdraw,
        account_id=account_id,
        words=found.words,
    )


def kraken_permissions(*, answer: Mapping[str, Any]) -> KeyPermissions:
    """Read Kraken's ``GetApiKeyInfo``.

    :raises BadAnswer: it lists no permissions
    :raises UnknownPermission: it names something that is not known here
    """
    words = answer.get("permissions")
    if not isinstance(words, list):
        raise BadAnswer("Kraken did not say what the key may do")
    return _KRAKEN.permissions(label="Kraken", words=words, account_id=_text(answer, "iban", "Kraken"))


def coinbase_permissions(*, answer: Mapping[str, Any]) -> KeyPermissions:
    """Read Coinbase's ``key_permissions``; a key belongs to one portfolio, which is the account here.

    :raises BadAnswer: it does not say whether the key may transfer
    :raises UnknownPermission: it names something that is not known here
    """
    _need(answer, "can_transfer", label="Coinbase")
    flags = [name for name, value in answer.items() if value is True]
    return _COINBASE.permissions(
        label="Coinbase", words=flags, account_id=_text(answer, "portfolio_uuid", "Coinbase")
    )


def okx_permissions(*, answer: Mapping[str, Any]) -> KeyPermissions:
    """Read OKX's ``account/config``.

    :raises BadAnswer: it lists no permissions
    :raises UnknownPermission: it names something that is not known here
    """
    return _OKX.permissions(
        label="OKX", words=_listed(answer, "perm", "OKX"), account_id=_text(answer, "uid", "OKX")
    )


def kucoin_permissions(*, answer: Mapping[str, Any]) -> KeyPermissions:
    """Read KuCoin's ``user/api-key``.

    :raises BadAnswer: it lists no permissions
    :raises UnknownPermission: it names something that is not known here
    """
    words = _listed(answer, "permission", "KuCoin")
    return _KUCOIN.permissions(label="KuCoin", words=words, account_id=_text(answer, "uid", "KuCoin"))


def hyperliquid_permissions(*, role: Mapping[str, Any], signer: str, account: str) -> KeyPermissions:
    """Read Hyperliquid's ``userRole`` of the wallet that signs.

    An agent ("API wallet") of the account trades and cannot withdraw; the account's own key can do
    everything. Any other wallet has nothing to do with the account.

    :param signer: address of the wallet whose private key was entered
    :param account: address of the account to trade for
    :raises BadAnswer: the answer names no role
    :raises InputError: the wallet is no agent of this account
    """
    _need(role, "role", label="Hyperliquid")
    if signer.lower() == account.lower():
        return KeyPermissions(read=True, trade=True, withdraw=True, account_id=account, words=("own key",))
    data = role.get("data")
    master = str(data.get("user", "")) if isinstance(data, Mapping) else ""
    if role["role"] == "agent" and master.lower() == account.lower():
        return KeyPermissions(read=True, trade=True, withdraw=False, account_id=account, words=("agent",))
    if role["role"] == "agent":
        raise InputError("This wallet is an API wallet of another account.", field="account")
    raise InputError(
        "This private key is not that of an API wallet of the account. Authorize one under “API” on "
        "Hyperliquid and enter its private key.",
        field="secret",
    )


def permissions_refusal(*, label: str, purpose: str, permissions: KeyPermissions) -> str:
    """Return why a key is not kept for a purpose, empty where it may be.

    :param label: the venue's name
    :param purpose: "follow" for a key that may only read, "trade"
    """
    if permissions.withdraw:
        return (
            f"This key can withdraw money from {label}. Such a key is never kept: make one without "
            "withdrawals and transfers out, and delete this one."
        )
    if not permissions.read:
        return f"This key cannot read the account. Allow reading for it on {label}."
    if purpose == "follow" and (permissions.trade or permissions.moves):
        can = "trade" if permissions.trade else "move money inside the account"
        return (
            f"This key can {can}. To follow an account a key that only reads is enough: make one that can do "
            "no more."
        )
    if purpose == "trade" and not permissions.trade:
        return f"This key cannot trade. Allow trading for it on {label}, and nothing beyond."
    return ""


def _listed(answer: Mapping[str, Any], name: str, label: str) -> list[str]:
    words = [word.strip() for word in str(answer.get(name) or "").split(",")]
    if not any(words):
        raise BadAnswer(f"{label} did not say what the key may do")
    return [word for word in words if word]


def _need(answer: Mapping[str, Any], name: str, *, label: str) -> None:
    if answer.get(name) is None:
        raise BadAnswer(f"{label} did not say what the key may do: its answer has no {name}")


def _text(answer: Mapping[str, Any], name: str, label: str) -> str:
    value = str(answer.get(name) or "").strip()
    if not value:
        raise BadAnswer(f"{label} did not say whose key this is: its answer has no {name}")
    return value[:120]
