"""FOL-1: on-chain wallets on the add-trader page and over the API, tried by an outsider too."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine.portfolios import portfolio_open
from markets.recordings import recording_get
from markets.services import instruments_ensure
from tests.integration.evm.anvil import BALANCE_OF, DECIMALS, SUPPLY, says
from tests.integration.evm.conftest import ETHER, OTHER, WALLET, LocalChain
from traders.models import Trader

pytestmark = pytest.mark.django_db


@pytest.fixture
def portfolio(alice: Any) -> Portfolio:
    """Alice's own."""
    return portfolio_open(owner=alice, initial_cash=Decimal(10000), now=utc_now(), name="Chains")


@pytest.fixture
def page(alice: Any, client_of: Callable[[Any], Client]) -> Client:
    """A client signed in as Alice."""
    return client_of(alice)


@pytest.fixture
def chain(local: LocalChain) -> LocalChain:
    """A chain whose newest block is of now, since the pages read the clock."""
    local.anvil.rpc("anvil_mine", "0x1")
    local.still_s = 3600
    local.anvil.give(WALLET, 3 * ETHER // 2)
    local.write()
    return local


def add(page: Client, portfolio: Portfolio, **query: str) -> Any:
    """Ask for the add-trader page."""
    return page.get(reverse("dashboard:trader_add", args=[portfolio.pk]), query)


def test_the_page_offers_the_chains_that_are_on(
    page: Client, portfolio: Portfolio, chain: LocalChain
) -> None:
    """CFG-1: without a node the form is not there and what to do is said."""
    text = add(page, portfolio).content.decode()
    assert '<option value="local">Local</option>' in text
    chain.settings.EVM_RPC = {}
    text = add(page, portfolio).content.decode()
    assert "No chain is switched on here" in text
    assert 'name="chain"' not in text


def test_preview_then_follow(page: Client, portfolio: Portfolio, chain: LocalChain) -> None:
    """FOL-1: chain and address are chosen, the wallet is shown, and only then followed."""
    answer = add(page, portfolio, kind="evm", chain="local", address=f" {WALLET} ")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "$3,000.00" in text
    assert "wallet on Local" in text
    assert "A wallet does not say what it paid" in text
    assert f'value="local:{WALLET}"' in text
    assert Trader.objects.count() == 0
    body = {"kind": "evm", "key": f"local:{WALLET}", "token": str(uuid4()), "join_mode": "new_only"}
    answer = page.post(reverse("dashboard:trader_add", args=[portfolio.pk]), body)
    assert answer.status_code == 302
    follow = Follow.objects.select_related("trader").get(portfolio=portfolio)
    assert (follow.trader.kind, follow.trader.key, follow.trader.owner) == ("evm", f"local:{WALLET}", None)


def test_a_wrapped_coin_is_foreseen_as_the_plain_one(
    page: Client, portfolio: Portfolio, chain: LocalChain
) -> None:
    """BEY-4, CON-1: no venue here trades WBTC; it is bought as BTC, also before the first price is heard."""
    instruments_ensure(instruments=recording_get(name="replay:alpha_arena").instruments)
    fixed = {DECIMALS: 8, SUPPLY: 21 * 10**14, BALANCE_OF: 10**8}
    chain.feed("BTC", 60000)
    chain.token("WBTC", chain.anvil.code("0x" + "b1" * 20, says(fixed)), decimals=8, feed="BTC")
    chain.write()
    text = add(page, portfolio, kind="evm", chain="local", address=WALLET).content.decode()
    assert "$63,000.00" in text
    assert "Not traded here" not in text


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("vitalik.eth", "are not looked up here"),
        ("0x12", "is not a wallet address"),
        ("", "Paste the address"),
    ],
)
def test_a_wrong_address_is_said_at_the_address(
    page: Client, portfolio: Portfolio, chain: LocalChain, address: str, problem: str
) -> None:
    """FOL-1: the form keeps what was typed."""
    answer = add(page, portfolio, kind="evm", chain="local", address=address)
    text = answer.content.decode()
    assert answer.status_code == 400
    assert problem in text
    assert 'id="chain_address_error"' in text
    assert Trader.objects.count() == 0


def test_an_empty_wallet_is_refused_with_the_reason(
    page: Client, portfolio: Portfolio, chain: LocalChain
) -> None:
    """FOL-1: most often the chain is the wrong one."""
    answer = add(page, portfolio, kind="evm", chain="local", address=OTHER)
    assert answer.status_code == 400
    assert "holds nothing of what is read on that chain" in answer.content.decode()


def test_a_node_that_does_not_answer_is_said(page: Client, portfolio: Portfolio, chain: LocalChain) -> None:
    """FOL-1: 503 with what went wrong and nothing of the node's address but its host."""
    chain.settings.EVM_RPC = {"local": "http://127.0.0.1:9/secret"}
    answer = add(page, portfolio, kind="evm", chain="local", address=WALLET)
    text = answer.content.decode()
    assert answer.status_code == 503
    assert "the Local node at 127.0.0.1 cannot be reached" in text
    assert "secret" not in text


def test_an_outsider_sees_no_page_of_it(
    charlie: Any, client_of: Callable[[Any], Client], portfolio: Portfolio, chain: LocalChain
) -> None:
    """SEC-1: neither the preview in Alice's portfolio nor following in her name."""
    theirs = client_of(charlie)
    assert add(theirs, portfolio, kind="evm", chain="local", address=WALLET).status_code == 404
    body = {"kind": "evm", "key": f"local:{WALLET}", "token": str(uuid4()), "join_mode": "new_only"}
    url = reverse("dashboard:trader_add", args=[portfolio.pk])
    assert theirs.post(url, body).status_code == 404
    assert not Follow.objects.exists()


def test_the_api_takes_the_same_key(page: Client, portfolio: Portfolio, chain: LocalChain) -> None:
    """API-1: a wrong key is refused at its field, a right one is followed."""
    url = f"/api/v1/portfolios/{portfolio.pk}/follows/"
    answer = page.post(url, {"kind": "evm", "key": "local:0x12"}, content_type="application/json")
    assert answer.status_code == 400
    assert "is not a wallet address" in answer.content.decode()
    body = {"kind": "evm", "key": f"local:{WALLET}"}
    answer = page.post(url, body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert Follow.objects.get(portfolio=portfolio).trader.key == f"local:{WALLET}"
