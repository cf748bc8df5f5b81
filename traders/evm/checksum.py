"""The checksum that mixed-case addresses carry (EIP-55)."""

from __future__ import annotations


def checksum_ok(address: str) -> bool:
    """Tell whether an address of the right form is in one case throughout, or its capitals fit.

    Source: EIP-55. A letter is a capital where the same digit of Keccak-256 of the lower-case address,
    without 0x, is 8 or more.
    """
    digits = address[2:]
    if digits in (digits.lower(), digits.upper()):
        return True
    from eth_hash.auto import keccak  # slow to import

    digest = keccak(digits.lower().encode()).hex()
    return all(
        digit == (digit.upper() if int(nibble, 16) >= 8 else digit.lower())
        for digit, nibble in zip(digits, digest, strict=False)
    )
