"""Identifiers that are made before the thing they name is sent or stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from core.decimals import plain

_RANDOM_DIGITS: Final = 20
_TAG_BYTES: Final = 6


def client_order_id_new(*, key: bytes) -> str:
    """Return a fresh client order id: 0x and 32 hex digits, the form Hyperliquid accepts as cloid.

    The first 20 digits are random, the last 12 an HMAC of them under ``key``, by which it is known again.
    """
    drawn = secrets.token_hex(_RANDOM_DIGITS // 2)
    return f"0x{drawn}{_tag(drawn, key)}"


def client_order_id_made_with(client_order_id: str, *, key: bytes) -> bool:
    """Tell whether a client order id was made with ``key``."""
    drawn, tag = client_order_id[2 : 2 + _RANDOM_DIGITS], client_order_id[2 + _RANDOM_DIGITS :]
    if not client_order_id.startswith("0x") or not client_order_id.isascii():
        return False
    return hmac.compare_digest(_tag(drawn, key), tag)


def _tag(drawn: str, key: bytes) -> str:
    return hmac.digest(key, drawn.encode(), "sha256")[:_TAG_BYTES].hex()


def epoch_new() -> str:
    """Return a short random name for one publisher's lifetime, so that clients notice a new one."""
    return secrets.token_hex(6)


def uuid_new() -> UUID:
    """Return a random UUID."""
    return uuid4()


def fingerprint(*parts: object) -> str:
    """Return 32 hex digits that stand for ``parts``, the same in every process.

    Decimals count by value: 1.0 is 1.
    """
    text = "\x1f".join(plain(part) if isinstance(part, Decimal) else str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
