"""Secrets at rest: sealed with the newest key, opened with any that is still listed.

Fernet is AES-128 in CBC mode with an HMAC-SHA256; MultiFernet tries several keys in turn, which is how keys
are exchanged without a day on which nothing can be read. Source: docs of ``cryptography``, "Fernet".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from accounts.models import Credential
from core.errors import EnsembleError


class SealBroken(EnsembleError):
    """A secret cannot be opened: its key is not listed any more, or the stored text was changed."""


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """What signs requests for one account. Never shown: its ``repr`` hides every secret part.

    :param api_key: the public part; for a wallet its address
    :param secret: API secret, or the private key of the wallet that signs
    :param password: passphrase, where the venue asks for one
    :param account: the account traded for, where another wallet signs for it
    """

    api_key: str
    secret: str = field(repr=False)
    password: str = field(default="", repr=False)
    account: str = ""

    def secrets(self) -> tuple[str, ...]:
        """Return what nobody may read, to strike it out of texts that others wrote."""
        return tuple(part for part in (self.secret, self.password) if part)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: keys never travel, whoever needs them opens them where they are used.

        :raises TypeError: always
        """
        raise TypeError("keys of accounts are not pickled; pass the credential's id and open it there")


def sealing() -> MultiFernet:
    """Return what seals and opens, newest key first."""
    return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])


def text_seal(*, text: str) -> str:
    """Return a text encrypted, as text for the database."""
    return sealing().encrypt(text.encode()).decode()


def text_open(*, sealed: str) -> str:
    """Return a text that ``text_seal`` encrypted.

    :raises SealBroken: no listed key opens it
    """
    try:
        return sealing().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken("a sealed text cannot be opened: CREDENTIAL_KEYS lacks its key") from None


def keys_seal(*, keys: AccountKeys) -> str:
    """Return the keys encrypted, as text for the database."""
    return sealing().encrypt(msgspec.json.encode(keys)).decode()


def keys_open(*, credential: Credential) -> AccountKeys:
    """Return the keys of a credential.

    :raises SealBroken: it was revoked, or no listed key opens it
    """
    if not credential.sealed:
        raise SealBroken(f"the key {credential} was revoked and its secret is gone; enter a new one")
    try:
        return msgspec.json.decode(sealing().decrypt(credential.sealed.encode()), type=AccountKeys)
    except InvalidToken:
        raise SealBroken(
            f"the key {credential} cannot be opened: CREDENTIAL_KEYS lacks the key it was sealed with"
        ) from None
