"""FOL-3, CFG-1: the file of chains that is shipped is sound, and a wrong one is told about whole."""

from pathlib import Path

import pytest

from core.instruments import underlying_of
from traders.evm.chain_file import ChainsFileError, chains_parse
from traders.evm.checksum import checksum_ok

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "evm_chains.yaml"
GOOD = """
local:
  name: Local
  chain_id: 31337
  native: {code: ETH, feed: ETH}
  confirmations: 1
  still_s: 60
  feeds:
    ETH: {address: "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419", heartbeat_s: 3600}
  tokens:
    WETH: {address: "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", decimals: 18, feed: ETH}
"""


def test_the_shipped_file_names_five_chains_with_mixed_case_addresses() -> None:
    """Every address carries its checksum, so that none is mistyped; wrapped coins share their underlying."""
    text = SHIPPED.read_text()
    chains = chains_parse(text=text, source="evm_chains.yaml")
    assert {name: chain.chain_id for name, chain in chains.items()} == {
        "ethereum": 1, "arbitrum": 42161, "base": 8453, "optimism": 10, "polygon": 137,
    }  # fmt: skip
    for chain in chains.values():
        for address in [token.address for token in chain.tokens] + [f.address for f in chain.feeds.values()]:
            (written,) = {part for part in text.split('"') if part.lower() == address}
            assert checksum_ok(written)
            assert written[2:].isdigit() or written[2:] not in {written[2:].lower(), written[2:].upper()}
        assert all(coin.feed or coin.code in {"LDO", "ENS"} for coin in chain.coins)
    assert underlying_of(chains["polygon"].tokens[0].code)[0] == chains["polygon"].native.code
    assert underlying_of("cbBTC")[0] == "BTC"


def test_a_minimal_file_is_read() -> None:
    """What is left out has a harmless value: no multicall means batches."""
    (chain,) = chains_parse(text=GOOD, source="x").values()
    assert chain.multicall == ""
    assert chain.native.decimals == 18
    assert chain.tokens[0].address == "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
    assert chain.rpc_variable == "EVM_RPC_LOCAL"


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("0xC02aaA", "0xC02aaa", "local, token WETH: 0xC02aaa39b223FE8D0A0e5C4F27eAD9083C756Cc2 is mistyped"),
        ("756Cc2", "756", "is no address; write 0x and 40 digits"),
        ("feed: ETH}\n  c", "feed: BTC}\n  c", "local, native: there is no feed 'BTC' on this chain"),
        ("decimals: 18", "decimals: 180", "decimals is 180; it must be a whole number from 0 to 36"),
        ("chain_id: 31337", "chain: 31337", "chain is no field"),
        ("WETH:", "ETH:", "local: ETH is both its own coin and a token"),
        ("still_s: 60", "still_s: soon", "still_s is 'soon'"),
        ("name: Local", "name: ''", "name is ''; it must be a text of 1 to 30 characters"),
        ("confirmations: 1", "confirmations: true", "confirmations is True"),
        ("local:", "Local Chain:", "'Local Chain' is no name of a chain"),
        ("  feeds:", "  tokens:", "'tokens' stands there twice"),
        (GOOD, "[]", "the file: it is []; it must be names with what belongs to them"),
    ],
)
def test_what_is_wrong_is_said(right: str, wrong: str, problem: str) -> None:
    """CFG-1: a wrong file stops the start with a sentence that names the place and the value."""
    with pytest.raises(ChainsFileError) as caught:
        chains_parse(text=GOOD.replace(right, wrong), source="chains.yaml")
    assert problem in caught.value.message


def test_everything_wrong_is_said_at_once() -> None:
    """CFG-1: two faults need one start to be found."""
    text = GOOD.replace("still_s: 60", "still_s: 1").replace("chain_id: 31337", "chain_id: 0")
    with pytest.raises(ChainsFileError) as caught:
        chains_parse(text=text, source="chains.yaml")
    assert caught.value.message.count("chains.yaml: local: ") == 2


def test_checksums_are_those_of_the_standard() -> None:
    """EIP-55's own examples, and each with one letter's case changed."""
    for address in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ):
        assert checksum_ok(address)
        at = next(index for index, letter in enumerate(address[2:], 2) if letter.isalpha())
        assert not checksum_ok(address[:at] + address[at].swapcase() + address[at + 1 :])
        assert checksum_ok(address.lower())
