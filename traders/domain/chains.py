"""What is known of a chain: its coins, the tokens that are read, and the price feeds. Pure data.

Addresses are lower-case hexadecimal with 0x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feed:
    """A Chainlink price feed against the US dollar.

    :param name: what it prices, "BTC"
    :param heartbeat_s: a new round comes at least this often
    """

    name: str
    address: str
    heartbeat_s: int
    decimals: int = 8


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is read, or the chain's own coin, whose address is empty.

    :param code: our instrument code, unique on its chain
    :param feed: name of its feed; empty where it has none
    :param stable: cash rather than a position: worth its feed's price, else 1
    """

    code: str
    address: str
    decimals: int
    feed: str = ""
    stable: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain.

    :param name: as in a trader's key and in ``EVM_RPC_<NAME>``
    :param multicall: address of Multicall3; empty where calls are sent as one JSON-RPC batch
    :param confirmations: blocks that must stand on top of the one that is read
    :param still_s: a newest block older than this means that the node stands still
    """

    name: str
    label: str
    chain_id: int
    native: Token
    tokens: tuple[Token, ...]
    feeds: Mapping[str, Feed]
    multicall: str
    confirmations: int
    still_s: int

    @property
    def coins(self) -> tuple[Token, ...]:
        """Return the chain's own coin and every token of the list."""
        return (self.native, *self.tokens)

    @property
    def rpc_variable(self) -> str:
        """Return the environment variable that names its node."""
        return f"EVM_RPC_{self.name.upper()}"
