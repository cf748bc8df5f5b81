"""Asking a venue what the key of an account may do. Only questions are asked; nothing is placed or moved.

A venue is here once its own answer says whether a key can withdraw. Any other is refused with that reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from accounts.domain.keys import text_without
from accounts.sealing import AccountKeys
from core.errors import BadAnswer, InputError, RetryLater
from markets.budget import BudgetNow, BudgetPriority
from markets.domain import permissions as words
from markets.domain.permissions import KeyPermissions
from markets.exchanges import AccessRefused, exchange_make, read_error
from markets.venue_limits import address_limit

BUDGET_WAIT_S: Final = 5.0
_PRIVATE_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_WALLET: Final = re.compile(r"0x[0-9a-fA-F]{40}")

# path, section and method of a request as ccxt names them
Question = tuple[str, tuple[str, ...], str]


class KeyRefused(InputError):
    """The venue does not accept the key at all: mistyped, deleted, expired, or bound to other addresses."""


@dataclass(frozen=True, slots=True)
class KeyVenue:
    """A venue whose keys can be kept.

    :param question: the request that tells the permissions
    :param read: what turns the answers into permissions
    :param weight: what the questions cost of the venue's budget
    :param passphrase: the venue gives a passphrase with each key
    :param test_question: the same in its test environment, where it has one
    """

    venue: str
    label: str
    question: Question
    read: Callable[[_Asker], KeyPermissions] = field(repr=False)
    weight: int = 1
    passphrase: bool = False
    test_question: Question | None = None


class _Asker:
    """Puts questions to one venue with one key, and says in our words what went wrong."""

    def __init__(self, *, client: Any, keys: AccountKeys, sandbox: bool, question: Question) -> None:
        self.keys, self.sandbox, self.question = keys, sandbox, question
        self._client = client

    def __repr__(self) -> str:
        return f"<questions to {self._client.id}>"

    @sensitive_variables()
    def ask(
        self,
        path: str,
        section: tuple[str, ...] = ("private",),
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the raw answer to one request.

        :raises AccessRefused: the venue does not accept the key
        :raises RetryLater: no usable answer came
        """
        from ccxt.base import errors

        try:
            return self._client.request(path, list(section), method, dict(params or {}))
        except errors.BaseError as error:
            # Struck out before the text is cut to a length, lest a part of a secret stays at its end.
            error.args = (text_without(text=str(error), secrets=self.keys.secrets()),)
            raise read_error(error, venue=self._client.name) from None

    def first(self, answer: Any, *names: str) -> Mapping[str, Any]:
        """Return the object below these names in an answer; the first of a list.

        :raises BadAnswer: there is none
        """
        for name in names:
            answer = answer.get(name) if isinstance(answer, Mapping) else None
        if isinstance(answer, list) and answer:
            answer = answer[0]
        if not isinstance(answer, Mapping):
            raise BadAnswer(f"{self._client.name} answered something that is no description of a key")
        return answer

    @sensitive_variables()
    def signing_try(self) -> None:
        """Sign the question without sending it, to tell a malformed secret from everything else.

        :raises InputError: the venue's way of signing cannot use it
        """
        path, section, method = self.question
        try:
            self._client.sign(path, list(section), method, {})
        except Exception:  # noqa: BLE001 - ccxt and what it signs with raise anything, with the secret in it
            raise InputError(
                f"This is no secret of {self._client.name}: requests cannot be signed with it. "
                "Copy it again, whole.",
                field="secret",
            ) from None


def _binance(asker: _Asker) -> KeyPermissions:
    if not asker.sandbox:
        restrictions = asker.first(asker.ask(*asker.question))
        account = asker.first(asker.ask("account", params={"omitZeroBalances": "true"}))
        return words.binance_permissions(restrictions=restrictions, account=account)
    account = asker.first(asker.ask("account", params={"omitZeroBalances": "true"}))
    return words.binance_test_permissions(account=account)


def _bybit(asker: _Asker) -> KeyPermissions:
    return words.bybit_permissions(answer=asker.first(asker.ask(*asker.question), "result"))


def _kraken(asker: _Asker) -> KeyPermissions:
    return words.kraken_permissions(answer=asker.first(asker.ask(*asker.question), "result"))


def _coinbase(asker: _Asker) -> KeyPermissions:
    return words.coinbase_permissions(answer=asker.first(asker.ask(*asker.question)))


def _okx(asker: _Asker) -> KeyPermissions:
    return words.okx_permissions(answer=asker.first(asker.ask(*asker.question), "data"))


def _kucoin(asker: _Asker) -> KeyPermissions:
    return words.kucoin_permissions(answer=asker.first(asker.ask(*asker.question), "data"))


def _hyperliquid(asker: _Asker) -> KeyPermissions:
    path, section, method = asker.question
    signer = asker.keys.api_key
    role = asker.first(asker.ask(path, section, method, {"type": "userRole", "user": signer.lower()}))
    return words.hyperliquid_permissions(role=role, signer=signer, account=asker.keys.account)


_BYBIT: Final[Question] = ("v5/user/query-api", ("private",), "GET")
_INFO: Final[Question] = ("info", ("public",), "POST")
_OKX: Final[Question] = ("account/config", ("private",), "GET")

KEY_VENUES: Final[dict[str, KeyVenue]] = {
    entry.venue: entry
    for entry in (
        KeyVenue(
            "binance",
            "Binance",
            ("account/apiRestrictions", ("sapi",), "GET"),
            _binance,
            weight=21,
            test_question=("account", ("private",), "GET"),
        ),
        KeyVenue("bybit", "Bybit", _BYBIT, _bybit, test_question=_BYBIT),
        KeyVenue("coinbase", "Coinbase", ("brokerage/key_permissions", ("v3", "private"), "GET"), _coinbase),
        KeyVenue("hyperliquid", "Hyperliquid", _INFO, _hyperliquid, weight=60, test_question=_INFO),
        KeyVenue("kraken", "Kraken", ("GetApiKeyInfo", ("private",), "POST"), _kraken),
        KeyVenue("kucoin", "KuCoin", ("user/api-key", ("private",), "GET"), _kucoin, passphrase=True),
        KeyVenue("okx", "OKX", _OKX, _okx, passphrase=True, test_question=_OKX),
    )
}


def key_venue_get(*, venue: str) -> KeyVenue:
    """Return what is known of a venue's keys.

    :raises InputError: what a key of this venue may do cannot be read, so none is kept
    """
    known = KEY_VENUES.get(venue)
    if known is None:
        labels = ", ".join(entry.label for entry in KEY_VENUES.values())
        raise InputError(
            f"What a key may do cannot be read there, so it could not be told whether it can withdraw. "
            f"Keys are kept for {labels}.",
            field="venue",
        )
    return known


@sensitive_variables()
def wallet_keys(*, account: str, private_key: str) -> AccountKeys:
    """Return the keys of a wallet that signs for an account on Hyperliquid; its address follows from the key.

    :raises InputError: the account is no address, or the key no private key
    """
    from eth_account import Account

    if not _WALLET.fullmatch(account):
        raise InputError("An account is 0x and 40 hexadecimal digits.", field="account")
    if not _PRIVATE_KEY.fullmatch(private_key):
        raise InputError("A private key is 64 hexadecimal digits, with or without 0x.", field="secret")
    try:
        signer = Account.from_key(private_key).address
    except Exception:  # noqa: BLE001 - the library's own words hold the key
        raise InputError("This number is no private key of a wallet.", field="secret") from None
    return AccountKeys(api_key=signer, secret=private_key, account=account.lower())


@sensitive_variables()
def permissions_read(*, venue: str, sandbox: bool, keys: AccountKeys) -> KeyPermissions:
    """Ask a venue what a key may do; one or two requests, none of which changes anything.

    :raises InputError: the venue is not known, has no sandbox, or does not accept the key
    :raises RetryLater: the venue gave no usable answer
    """
    known = key_venue_get(venue=venue)
    question = (known.test_question if sandbox else None) or known.question
    client = exchange_make(venue=venue, sandbox=sandbox, keys=keys)
    asker = _Asker(client=client, keys=keys, sandbox=sandbox, question=question)
    try:
        asker.signing_try()
        _budget_take(known)
        return known.read(asker)
    except AccessRefused as error:
        where = " in its test environment" if sandbox else ""
        raise KeyRefused(
            f"{known.label} does not accept this key{where}. Check that "
            "key and secret belong together and that the key is not bound to other addresses. "
            f"({_said(error)})",
            field="api_key",
        ) from None
    finally:
        client.session.close()


def _budget_take(known: KeyVenue) -> None:
    """Wait for room in what the venue allows this address; behind exits, orders and syncs.

    :raises BudgetExhausted: there is none soon
    """
    allowance = address_limit(known.venue)
    if allowance is None:
        return
    budget = BudgetNow(venue=known.venue, allowance=allowance, redis_url=settings.REDIS_URL)
    try:
        budget.take(known.weight, max_wait_s=BUDGET_WAIT_S, priority=BudgetPriority.PREVIEW)
    finally:
        budget.close()


def _said(error: RetryLater) -> str:
    return str(error)[:120]
