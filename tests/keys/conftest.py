"""Exchanges on loopback that describe keys, and keys as each of them gives them out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest

from accounts.sealing import AccountKeys
from engine.credentials import KeyWish
from tests.loopback.keys import KeyVenues, key_venues

# Made up for these tests; the wallet's is the first of the well-known test mnemonic "test … junk".
WALLET_KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
WALLET: Final = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
MASTER: Final = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
SECRETS: Final = {
    "binance": (
        "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    ),
    "bybit": ("xhyjPKx8Nn8TqkR3Vb", "Qz3vKkVhK7bTtPqkgI3h1N8kSeW5Ye7Ju2dU"),
    "kraken": (
        "D8hCa4FlyHAB4cDEFyU0OIP7cYlmmq3RoxDmAbVpSBHp1ZpDqvr",
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==",
    ),
    "okx": ("37c541a1-49f1-4b6f-9f17-9e1a2b3c4d5e", "22582BD0CFF14C41EDBF1AB98506286D"),
    "kucoin": ("6705f5c311545b000157d3eb", "a3b1c2d4-9f17-4b6f-8e1a-0c1d2e3f4a5b"),
}
PASSPHRASE: Final = "Pass-phrase-93Kq7"


@cache
def ec_pem() -> str:
    """Return an EC private key in PEM form, as Coinbase gives them."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def keys_of(venue: str) -> AccountKeys:
    """Return a key as this venue gives it out."""
    if venue == "coinbase":
        name = "organizations/6fa459ea-ee8a-4ca4-894e-db77e160355e/apiKeys/16fd2706-8baf-433b-82eb-8c7f"
        return AccountKeys(api_key=name, secret=ec_pem())
    if venue == "hyperliquid":
        return AccountKeys(api_key=WALLET, secret=WALLET_KEY, account=MASTER)
    public, secret = SECRETS[venue]
    password = PASSPHRASE if venue in {"okx", "kucoin"} else ""
    return AccountKeys(api_key=public, secret=secret, password=password)


@pytest.fixture
def venues(settings: Any, services: None) -> Iterator[KeyVenues]:
    """Exchanges that describe keys which can read and nothing else."""
    with key_venues() as served:
        settings.EXCHANGE_GATEWAY = served.url
        yield served


def wish_of(venue: str, **changed: Any) -> KeyWish:
    """Return what a person would enter for this venue."""
    if venue == "hyperliquid":
        entered = {"account": MASTER, "secret": WALLET_KEY, "purpose": "trade"}
    else:
        known = keys_of(venue if venue in SECRETS or venue == "coinbase" else "binance")
        entered = {"api_key": known.api_key, "secret": known.secret, "passphrase": known.password}
    fields: dict[str, Any] = {"venue": venue, "purpose": "follow", "name": f"My {venue}"[:40], **entered}
    return KeyWish(**{**fields, **changed})
