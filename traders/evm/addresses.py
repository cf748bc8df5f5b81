"""Addresses of chains as people write them, and the key of an on-chain trader: ``chain:0xaddress``."""

from __future__ import annotations

import re
from typing import Final

from core.errors import InputError
from traders.domain.chains import Chain
from traders.evm.chain_file import chain_rpc_url, chains_all
from traders.evm.checksum import checksum_ok

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def wallet_key_parse(*, key: str) -> tuple[Chain, str]:
    """Return the chain and the address, in lower case, that a key names.

    :raises InputError: no chain, an unknown one or one without a node here; a name instead of an address; an
        address that is none, or whose capital letters say that it is mistyped
    """
    name, colon, address = key.strip().partition(":")
    chains = chains_all()
    if not colon:
        raise InputError(
            f"Write the chain before the address, such as {next(iter(chains))}:0x…. "
            f"Chains: {', '.join(chains)}.",
            field="key",
        )
    chain = chains.get(name.strip().lower())
    if chain is None:
        raise InputError(
            f"There is no chain named “{name.strip()[:30]}” here. Chains: {', '.join(chains)}.", field="key"
        )
    if not chain_rpc_url(chain=chain):
        raise InputError(
            f"{chain.label} is switched off on this server: it has no node to ask. "
            f"Whoever runs the server can name one in {chain.rpc_variable}.",
            field="key",
        )
    return chain, address_parse(text=address)


def address_parse(*, text: str) -> str:
    """Return an address in lower case.

    :raises InputError: see :func:`wallet_key_parse`
    """
    address = "".join(text.split())
    if "." in address:
        raise InputError(
            f"Names such as {address[:40]} are not looked up here, because a name can be pointed elsewhere "
            "later: paste the address itself, 0x and 40 digits.",
            field="key",
        )
    if not _ADDRESS.fullmatch(address):
        raise InputError(
            f"'{address[:60]}' is not a wallet address: it must be 0x followed by 40 digits 0-9 or a-f "
            f"(42 characters), this has {len(address)}.",
            field="key",
        )
    if not checksum_ok(address):
        raise InputError(
            f"{address} is mistyped: its capital letters are a checksum (EIP-55), and they do not fit. "
            "Copy the address again.",
            field="key",
        )
    return address.lower()
