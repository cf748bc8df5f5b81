"""What a person may enter as the key of an account, and what is shown of it. Pure."""

from __future__ import annotations

import re
from typing import Final

from core.errors import InputError

NAME_LENGTH: Final = 80
KEY_LENGTH: Final = 400
SECRET_LENGTH: Final = 4000  # a private key in PEM form
PASSPHRASE_LENGTH: Final = 200
SHOWN: Final = 4  # characters shown of each end of the public part
SHOWN_FROM: Final = 12  # of anything shorter nothing is shown
HIDDEN: Final = "…"
SECRET_PART: Final = 6  # shorter ones are no secret, and would strike through ordinary words
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----(.+?)-----END \1-----", re.DOTALL)
_PEM_LINE: Final = 64


def key_mask(*, public: str) -> str:
    """Return the public part of a key shortened to its ends, "vmPU…ShEA", to tell keys apart by."""
    if len(public) < SHOWN_FROM:
        return HIDDEN
    return f"{public[:SHOWN]}{HIDDEN}{public[-SHOWN:]}"


def public_clean(*, text: str, field: str, label: str) -> str:
    """Return a key or an address as typed, without the white space that copying adds.

    :raises InputError: nothing is left, or it is too long or not printable ASCII
    """
    return _clean(text, field=field, label=label, longest=KEY_LENGTH)


def passphrase_clean(*, text: str) -> str:
    """Return a passphrase without the white space around it.

    :raises InputError: nothing is left, or it is too long
    """
    clean = text.strip()
    if not clean:
        raise InputError("Enter the passphrase that was chosen with the key.", field="passphrase")
    if len(clean) > PASSPHRASE_LENGTH or not clean.isprintable():
        raise InputError(
            f"A passphrase has at most {PASSPHRASE_LENGTH} characters, on one line.", field="passphrase"
        )
    return clean


def secret_clean(*, text: str, field: str = "secret", label: str = "secret") -> str:
    """Return a secret as the venue gave it; a PEM key gets back the line ends that copying took.

    :raises InputError: nothing is left, or it is too long or not printable ASCII
    """
    if found := _PEM.search(text.replace("\\n", "\n")):
        name, body = found[1], "".join(found[2].split())
        lines = [body[start : start + _PEM_LINE] for start in range(0, len(body), _PEM_LINE)]
        pem = "\n".join([f"-----BEGIN {name}-----", *lines, f"-----END {name}-----", ""])
        if len(pem) <= SECRET_LENGTH and body.isascii():
            return pem
    return _clean(text, field=field, label=label, longest=SECRET_LENGTH)


def name_clean(*, text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return what a key is called.

    :param secrets: parts that must not be in it: names are shown, and mistakes of copying happen
    :raises InputError: it is empty, too long, not printable, or holds one of the secrets
    """
    name = " ".join(text.split())
    if not name:
        raise InputError("Give the key a name, such as “Binance, read only”.", field="name")
    if len(name) > NAME_LENGTH or not name.isprintable():
        raise InputError(
            f"A name has at most {NAME_LENGTH} characters and no control characters.", field="name"
        )
    if text_without(text=name, secrets=secrets) != name:
        raise InputError("The name holds a part of the key. Names are shown; choose another.", field="name")
    return name


def text_without(*, text: str, secrets: tuple[str, ...]) -> str:
    """Return a text in which each secret is struck out, as something foreign may have quoted it.

    A secret of several lines goes line by line, a number also without its 0x.
    """
    lines = {line.strip() for secret in secrets for line in secret.splitlines()}
    parts = {*secrets, *lines, *(line.removeprefix("0x") for line in lines)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SECRET_PART:
            text = text.replace(part, HIDDEN)
    return text


def _clean(text: str, *, field: str, label: str, longest: int) -> str:
    clean = "".join(text.split())
    if not clean:
        raise InputError(f"Enter the {label}.", field=field)
    if len(clean) > longest:
        raise InputError(f"This is too long to be the {label}: {len(clean)} characters.", field=field)
    if not (clean.isascii() and clean.isprintable()):
        raise InputError(f"The {label} holds characters that no such key has. Copy it again.", field=field)
    return clean
