"""Identifiers that are made before the thing they name is sent or stored."""

from __future__ import annotations

import hashlib
import secrets
from decimal import Decimal
from uuid import UUID, uuid4

from core.decimals import plain


def client_order_id_new() -> str:
    """Return a fresh client order id: 0x and 32 hex digits, the form Hyperliquid accepts as cloid."""
    return f"0x{secrets.token_hex(16)}"


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
