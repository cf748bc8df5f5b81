"""How an agent signs what it posts, so that nobody posts for it and nothing is posted twice. Pure.

HMAC-SHA256, RFC 2104, over one line each: the scheme, the time, the sequence, method, path, and the body's
SHA-256. The time bounds how long a copy could be used, the sequence rises with every post.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SCHEME: Final = "ENSEMBLE-PUSH-1"
CLOCK_WINDOW_S: Final = 30
_DIGITS_MOST: Final = 19


def body_digest(*, body: bytes) -> str:
    """Return the SHA-256 of a body, 64 hexadecimal digits in lower case."""
    return hashlib.sha256(body).hexdigest()


def string_to_sign(*, timestamp: str, sequence: str, method: str, path: str, digest: str) -> str:
    """Return what is signed.

    :param timestamp: whole seconds since 1970 in UTC, as in the header
    :param path: of the address, with its leading slash, without a query
    """
    return "\n".join((SCHEME, timestamp, sequence, method, path, digest))


def post_signature(*, secret: str, text: str) -> str:
    """Return the signature of a text, 64 hexadecimal digits in lower case."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signature_right(*, secret: str, text: str, given: str) -> bool:
    """Tell whether a signature is that of a text, in a time that does not depend on where it differs."""
    return hmac.compare_digest(post_signature(secret=secret, text=text).encode(), given.encode())


def whole_number(text: str) -> int | None:
    """Return a number written in digits alone, without leading zeros; None where it is anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST):
        return None
    return int(text) if text == str(int(text)) else None
