"""Entering and revoking keys of accounts elsewhere, and looking after them day by day (SEC-1).

A key is asked about at its venue first, outside any transaction; it is stored when the answer allows it.
Every try is in the audit log, without anything of the key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db import transaction
from django.db.models import Model
from django.views.decorators.debug import sensitive_variables

from accounts.audit import audit_write
from accounts.credentials import (
    credential_mark,
    credential_revoke,
    credential_room_check,
    credential_store,
)
from accounts.domain.keys import (
    name_clean,
    passphrase_clean,
    public_clean,
    secret_clean,
    text_without,
)
from accounts.models import Credential, KeptAnswer, LiveAccount, User
from accounts.sealing import AccountKeys, SealBroken, keys_open
from alerts.models import AlertChannel
from allocation.models import Follow
from core.errors import InputError, RetryLater
from engine.alerting import key_refused_tell
from markets.domain.permissions import KeyPermissions, permissions_refusal
from markets.key_permissions import KeyVenue, key_venue_get, permissions_read, wallet_keys
from traders.models import PushAgent

logger = logging.getLogger(__name__)
CHECKED_EVERY: Final = timedelta(hours=24)
CHECKED_AT_ONCE: Final = 10  # a venue that is away costs its whole time-out
TRIES_PER_HOUR: Final = 30
# Every column that holds something sealed, for rotation and its check.
SEALED_COLUMNS: Final[tuple[tuple[type[Model], str], ...]] = (
    (Credential, "sealed"),
    (PushAgent, "sealed"),
    (AlertChannel, "sealed"),
    (KeptAnswer, "sealed"),
)


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a person enters.

    :param sandbox: the account is one of the venue's test environment
    :param account: address of the account, where a wallet signs for it
    """

    venue: str
    purpose: str
    name: str
    api_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    account: str = ""
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class KeysChecked:
    """What a daily check found, by id of the key.

    :param fine: may be used as before
    :param refused: must not be used any more, and could before: what uses them has to stop
    :param unheard: their venue gave no answer; they are asked again
    """

    fine: tuple[int, ...]
    refused: tuple[int, ...]
    unheard: tuple[int, ...]


@sensitive_variables()
def credential_add(*, owner: User, wish: KeyWish, via: str, now: datetime) -> Credential:
    """Ask the venue what a key may do and keep it, sealed, if that is right for its purpose.

    :raises InputError: something is missing or malformed; the key can withdraw, or does more or less than its
        purpose needs; the venue does not accept it, or does not tell; one too many, or too many tries
    :raises RetryLater: the venue gave no usable answer; nothing is stored
    """
    try:
        known = key_venue_get(venue=wish.venue)
        keys, name = _checked(wish, known)
        _tries_count(owner)
        credential_room_check(owner=owner, name=name)
        permissions = _asked(known, wish, keys)
        return credential_store(
            owner=owner,
            purpose=wish.purpose,
            venue=known.venue,
            sandbox=wish.sandbox,
            name=name,
            keys=keys,
            account_id=permissions.account_id,
            permissions=permissions.words,
            via=via,
            now=now,
        )
    except (InputError, RetryLater) as error:
        outcome = "refused" if isinstance(error, InputError) else "failed"
        _audit_failure(owner, wish, outcome=outcome, text=str(error), via=via, now=now)
        raise
    except Exception:
        text = "The fault is ours; nothing was stored"
        _audit_failure(owner, wish, outcome="failed", text=text, via=via, now=now)
        raise


def credential_end(*, credential: Credential, via: str, now: datetime) -> bool:
    """Revoke a key that nothing uses any more; False where it is revoked already.

    :raises InputError: it is used; the message says by what
    """
    users = credential_users(credential=credential)
    if users:
        text = f"This key is in use: {'; '.join(users)}. Stop that first, then revoke the key."
        audit_write(
            action="credential.revoke",
            outcome="refused",
            via=via,
            actor=credential.owner,
            text=text,
            data={"credential_id": credential.pk},
            now=now,
        )
        raise InputError(text)
    return credential_revoke(credential=credential, via=via, now=now)


def credential_users(*, credential: Credential) -> list[str]:
    """Return in words what uses a key now: live accounts that are not stopped, traders followed with it."""
    live = LiveAccount.objects.filter(credential=credential).exclude(state=LiveAccount.State.STOPPED)
    trading = [f"{account.portfolio.name} trades with it" for account in live.select_related("portfolio")]
    follows = (
        Follow.objects.filter(trader__credential=credential)
        .exclude(status=Follow.Status.REMOVED)
        .select_related("trader", "portfolio")
    )
    following = [f"{f.portfolio.name} follows {f.trader.name} with it" for f in follows.order_by("pk")]
    return trading + following


def credentials_check(*, now: datetime, limit: int = CHECKED_AT_ONCE) -> KeysChecked:
    """Ask again what keys may do that were not asked about for a day, longest ago first.

    A key that has become able to withdraw, that does not fit its purpose any more, or that its venue does
    not accept is marked (``Credential.check_error``); from then on nothing may use it. An answer that does
    not come changes nothing.
    """
    due = Credential.objects.filter(revoked_at__isnull=True, checked_at__lte=now - CHECKED_EVERY)
    fine: list[int] = []
    refused: list[int] = []
    unheard: list[int] = []
    for credential in due.order_by("checked_at", "pk")[:limit]:
        try:
            error, words = _looked_at(credential)
        except RetryLater as told:
            logger.warning("the key %s could not be checked: %s", credential.pk, told)
            unheard.append(credential.pk)
            continue
        with transaction.atomic():
            newly = credential_mark(credential=credential, error=error, permissions=words, now=now)
            if newly:
                logger.error("the key %s must not be used any more: %s", credential.pk, error)
                key_refused_tell(credential=credential, error=error, at=now)
        (refused if newly else fine).append(credential.pk)
    return KeysChecked(fine=tuple(fine), refused=tuple(refused), unheard=tuple(unheard))


@sensitive_variables()
def _looked_at(credential: Credential) -> tuple[str, tuple[str, ...] | None]:
    """Return why a key must not be used (empty where it may) and what it may do, None where nobody said."""
    try:
        keys = keys_open(credential=credential)
        known = key_venue_get(venue=credential.venue)
        found = permissions_read(venue=known.venue, sandbox=credential.sandbox, keys=keys)
    except (SealBroken, InputError) as error:
        return str(error), None
    if found.account_id != credential.account_id:
        return "It opens another account now than when it was entered.", found.words
    purpose = str(credential.purpose)
    return permissions_refusal(label=known.label, purpose=purpose, permissions=found), found.words


@sensitive_variables()
def _checked(wish: KeyWish, known: KeyVenue) -> tuple[AccountKeys, str]:
    """Return what was entered, cleaned; nothing is asked of anybody."""
    if wish.purpose not in Credential.Purpose.values:
        raise InputError(
            "Say what the key is for: to follow the account, or to trade with it.", field="purpose"
        )
    if wish.sandbox and known.test_question is None:
        raise InputError(
            f"{known.label} has no test environment that can be used from here.", field="sandbox"
        )
    if known.venue == "hyperliquid":
        if wish.purpose == Credential.Purpose.FOLLOW:
            raise InputError(
                "Accounts on Hyperliquid are public: follow one by its address, no key is needed.",
                field="purpose",
            )
        account = public_clean(text=wish.account, field="account", label="address of the account")
        secret = secret_clean(text=wish.secret, label="private key of the API wallet")
        keys = wallet_keys(account=account, private_key=secret)
    else:
        keys = AccountKeys(
            api_key=public_clean(text=wish.api_key, field="api_key", label="API key"),
            secret=secret_clean(text=wish.secret),
            password=passphrase_clean(text=wish.passphrase) if known.passphrase else "",
        )
        if keys.api_key == keys.secret:
            raise InputError("Key and secret are the same text. One was pasted twice.", field="secret")
    return keys, name_clean(text=wish.name, secrets=(*keys.secrets(), keys.api_key))


@sensitive_variables()
def _asked(known: KeyVenue, wish: KeyWish, keys: AccountKeys) -> KeyPermissions:
    """Return what the key may do, where that fits its purpose."""
    permissions = permissions_read(venue=known.venue, sandbox=wish.sandbox, keys=keys)
    refusal = permissions_refusal(label=known.label, purpose=wish.purpose, permissions=permissions)
    if refusal:
        raise InputError(refusal, field="secret" if known.venue == "hyperliquid" else "api_key")
    return permissions


def _tries_count(owner: User) -> None:
    """Bound how often one person has venues asked; keys are not to be guessed through here."""
    name = f"keys-tried:{owner.pk}"
    cache.add(name, 0, timeout=3600)
    if cache.incr(name) > TRIES_PER_HOUR:
        raise InputError(f"More than {TRIES_PER_HOUR} keys were tried within an hour. Wait an hour.")


@sensitive_variables()
def _audit_failure(owner: User, wish: KeyWish, *, outcome: str, text: str, via: str, now: datetime) -> None:
    """Keep that somebody tried. Nothing that was typed is kept but the choices: anything may be misplaced."""
    typed = (wish.api_key, wish.secret, wish.passphrase)
    parts = tuple(part for value in typed for part in {value, value.strip(), "".join(value.split())})
    data: Mapping[str, Any] = {
        "venue": wish.venue if wish.venue.isidentifier() and len(wish.venue) <= 24 else "",
        "sandbox": wish.sandbox,
        "purpose": wish.purpose if wish.purpose in Credential.Purpose.values else "",
    }
    audit_write(
        action="credential.add",
        outcome=outcome,
        via=via,
        actor=owner,
        text=text_without(text=text, secrets=parts),
        data=data,
        now=now,
    )
