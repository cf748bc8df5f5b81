"""The file of chains: what is read of each, and where its prices come from.

The file is ``EVM_CHAINS_FILE``, read once per process; a wrong one stops the start (``traders.checks``). A
chain is on when ``EVM_RPC_<NAME>`` names a node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings

from core.errors import InputError
from core.instruments import is_code
from traders.domain.chains import Chain, Feed, Token
from traders.evm.checksum import checksum_ok
from traders.yaml_files import yaml_load

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_CHAIN_FIELDS: Final = frozenset(
    {"name", "chain_id", "native", "multicall", "confirmations", "still_s", "feeds", "tokens"}
)
_FEED_FIELDS: Final = frozenset({"address", "heartbeat_s", "decimals"})
_TOKEN_FIELDS: Final = frozenset({"address", "decimals", "feed", "stable"})
_NATIVE_FIELDS: Final = frozenset({"code", "decimals", "feed"})
MAX_TOKENS: Final = 200


class ChainsFileError(InputError):
    """The file of chains cannot be used; the message is one sentence for each thing that is wrong."""


def chains_all() -> Mapping[str, Chain]:
    """Return every chain of the file by name, in the file's order.

    :raises ChainsFileError: the file cannot be used
    """
    return _chains_read(Path(settings.EVM_CHAINS_FILE))


def chain_rpc_url(*, chain: Chain) -> str:
    """Return the address of a chain's node, empty where the chain is off; it may hold a secret."""
    return str(settings.EVM_RPC.get(chain.name, ""))


def chains_parse(*, text: str, source: str) -> dict[str, Chain]:
    """Return the chains that a file's text describes, by name.

    :param source: name of the file, for what is said about it
    :raises ChainsFileError: naming chain, field, value and what is allowed, for everything wrong
    """
    try:
        content = yaml_load(text=text)
    except yaml.YAMLError as error:
        raise ChainsFileError(f"{source} is no YAML: {' '.join(str(error).split())}.") from error
    reader = _Reader()
    chains = [reader.chain(str(name), body) for name, body in reader.mapping(content, "the file").items()]
    if reader.problems:
        raise ChainsFileError(" ".join(f"{source}: {problem}." for problem in reader.problems))
    return {chain.name: chain for chain in chains}


@lru_cache(maxsize=4)
def _chains_read(path: Path) -> Mapping[str, Chain]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChainsFileError(f"{path} cannot be read ({error}); see EVM_CHAINS_FILE.") from error
    return chains_parse(text=text, source=path.name)


class _Reader:
    """Turns the file's content into chains and keeps every problem; a wrong value becomes a harmless one."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def chain(self, name: str, body: Any) -> Chain:
        """Return one chain."""
        if not _NAME.fullmatch(name):
            self.problems.append(f"{name!r} is no name of a chain; use a-z, 0-9 and _, at most 30")
        fields = self._fields(body, name, _CHAIN_FIELDS)
        label = fields.get("name")
        if not isinstance(label, str) or not 0 < len(label) <= 30:
            self.problems.append(f"{name}: name is {label!r}; it must be a text of 1 to 30 characters")
        feeds = {
            str(one): self._feed(f"{name}, feed {one}", str(one), row)
            for one, row in self.mapping(fields.get("feeds", {}), f"{name}, feeds").items()
        }
        tokens = self._tokens(name, fields, feeds)
        native = self._native(name, fields.get("native"), feeds)
        if native.code in {token.code for token in tokens}:
            self.problems.append(f"{name}: {native.code} is both its own coin and a token")
        multicall = fields.get("multicall", "")
        return Chain(
            name=name,
            label=str(label),
            chain_id=self._whole(name, fields, "chain_id", low=1, high=2**53),
            native=native,
            tokens=tokens,
            feeds=feeds,
            multicall=self._address(f"{name}, multicall", multicall) if multicall else "",
            confirmations=self._whole(name, fields, "confirmations", low=0, high=1000),
            still_s=self._whole(name, fields, "still_s", low=10, high=3600),
        )

    def _native(self, name: str, body: Any, feeds: Mapping[str, Feed]) -> Token:
        where = f"{name}, native"
        fields = self._fields(body, where, _NATIVE_FIELDS)
        return Token(
            code=self._code(where, fields.get("code")),
            address="",
            decimals=self._whole(where, fields, "decimals", low=0, high=36, default=18),
            feed=self._feed_name(where, fields, feeds),
        )

    def _tokens(self, name: str, fields: Mapping[str, Any], feeds: Mapping[str, Feed]) -> tuple[Token, ...]:
        rows = self.mapping(fields.get("tokens", {}), f"{name}, tokens")
        if len(rows) > MAX_TOKENS:
            self.problems.append(f"{name}: it has {len(rows)} tokens; at most {MAX_TOKENS} are read")
        tokens = tuple(self._token(f"{name}, token {code}", code, row, feeds) for code, row in rows.items())
        addresses = [token.address for token in tokens]
        twice = sorted({address for address in addresses if addresses.count(address) > 1})
        self.problems += [f"{name}: {address} is two tokens" for address in twice]
        return tokens

    def _token(self, where: str, code: Any, body: Any, feeds: Mapping[str, Feed]) -> Token:
        fields = self._fields(body, where, _TOKEN_FIELDS)
        stable = fields.get("stable", False)
        if not isinstance(stable, bool):
            self.problems.append(f"{where}: stable is {stable!r}; write true or false")
        return Token(
            code=self._code(where, code),
            address=self._address(where, fields.get("address")),
            decimals=self._whole(where, fields, "decimals", low=0, high=36),
            feed=self._feed_name(where, fields, feeds),
            stable=stable is True,
        )

    def _feed(self, where: str, name: str, body: Any) -> Feed:
        fields = self._fields(body, where, _FEED_FIELDS)
        return Feed(
            name=name,
            address=self._address(where, fields.get("address")),
            heartbeat_s=self._whole(where, fields, "heartbeat_s", low=1, high=7 * 86400),
            decimals=self._whole(where, fields, "decimals", low=0, high=36, default=8),
        )

    def _feed_name(self, where: str, fields: Mapping[str, Any], feeds: Mapping[str, Feed]) -> str:
        feed = fields.get("feed", "")
        if feed and feed not in feeds:
            self.problems.append(f"{where}: there is no feed {feed!r} on this chain")
        return str(feed)

    def _code(self, where: str, code: Any) -> str:
        if not isinstance(code, str) or not is_code(code):
            self.problems.append(f"{where}: {code!r} is no instrument code")
        return str(code)

    def _address(self, where: str, address: Any) -> str:
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            self.problems.append(
                f"{where}: {address!r} is no address; "
                "write 0x and 40 digits, in quotes where YAML reads a number"
            )
            return ""
        if not checksum_ok(address):
            self.problems.append(f"{where}: {address} is mistyped, its capitals (EIP-55) do not fit")
        return address.lower()

    def _whole(
        self,
        where: str,
        fields: Mapping[str, Any],
        name: str,
        *,
        low: int,
        high: int,
        default: int | None = None,
    ) -> int:
        value = fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problems.append(
                f"{where}: {name} is {value!r}; it must be a whole number from {low} to {high}"
            )
            return low
        return value

    def _fields(self, body: Any, where: str, known: frozenset[str]) -> Mapping[str, Any]:
        fields = self.mapping(body, where)
        self.problems += [
            f"{where}: {field} is no field; fields are {', '.join(sorted(known))}"
            for field in fields
            if field not in known
        ]
        return fields

    def mapping(self, value: Any, where: str) -> Mapping[Any, Any]:
        """Return a mapping; anything else is a problem and counts as an empty one."""
        if isinstance(value, Mapping):
            return value
        self.problems.append(f"{where}: it is {value!r}; it must be names with what belongs to them")
        return {}
