"""Shared by the tests of exchange accounts: the loopback exchanges, and keys of a person's accounts there."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accounts.models import Credential, User
from accounts.sealing import AccountKeys, keys_seal
from markets.models import Instrument
from tests.loopback.running import ExchangesProcess
from traders.reading import read_loop_close

SECRET = "c2VjcmV0IG9mIGFuIGFjY291bnQsIGluIGJhc2U2NA=="
CODES = ("BTC", "ETH", "LDO", "kPEPE", "kSHIB", "SOL", "DOT")


@pytest.fixture(scope="session")
def exchanges_process() -> Iterator[ExchangesProcess]:
    """The loopback exchanges for all tests of a run."""
    process = ExchangesProcess()
    yield process
    process.stop()


@pytest.fixture
def exchanges(exchanges_process: ExchangesProcess, settings: Any) -> Iterator[ExchangesProcess]:
    """The loopback exchanges, in their first state, as those this test's code talks to."""
    exchanges_process.script(reset=True)
    settings.EXCHANGE_GATEWAY = exchanges_process.url
    yield exchanges_process
    read_loop_close()


@pytest.fixture
def now() -> datetime:
    """A fixed wall time."""
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def instruments(db: None) -> None:
    """Know the instruments that can be copied."""
    Instrument.objects.bulk_create(
        Instrument(code=code, underlying=code.removeprefix("k"), quantity_step="0.0001", price_places=6)
        for code in CODES
    )


@pytest.fixture(scope="session")
def coinbase_secret() -> str:
    """A private key as Coinbase gives them out."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def key_of(coinbase_secret: str) -> Callable[..., Credential]:
    """Return a function: owner, venue → a read-only key of an account there."""

    def make(owner: User, venue: str, **fields: Any) -> Credential:
        coinbase = venue == "coinbase"
        keys = AccountKeys(
            api_key="organizations/o/apiKeys/k" if coinbase else f"key of {venue}".replace(" ", "-"),
            secret=coinbase_secret if coinbase else SECRET,
        )
        given = {"purpose": "follow", "name": f"My {venue}", "mask": "key…t", "sealed": keys_seal(keys=keys)}
        return Credential.objects.create(owner=owner, venue=venue, **(given | fields))

    return make
