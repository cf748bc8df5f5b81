"""SEC-1: the keys page and its endpoints, for the owner alone; what is secret goes in and never comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Credential, User
from core.clock import utc_now
from engine.credentials import credential_add
from markets.key_permissions import KEY_VENUES
from tests.answers import text_of
from tests.keys.conftest import MASTER, PASSPHRASE, SECRETS, WALLET_KEY, wish_of
from tests.loopback.keys import BINANCE_KEY, PATHS, KeyVenues
from tests.tokens import token_of

pytestmark = pytest.mark.django_db
PAGE = "/keys/"
API = "/api/v1/credentials/"


@pytest.fixture
def page(alice: User, client_of: Callable[[Any], Client]) -> Client:
    """Alice's browser."""
    return client_of(alice)


@pytest.fixture
def kept(venues: KeyVenues, alice: User) -> Credential:
    """A key of Alice's."""
    return credential_add(owner=alice, wish=wish_of("binance"), via="page", now=utc_now())


def api_of(user: User) -> Client:
    """Return a client that sends the person's token."""
    token = token_of(user)
    return Client(headers={"Authorization": f"Token {token}", "Accept": "application/json"})


def typed(venue: str, **changed: Any) -> dict[str, Any]:
    """Return what a form or a request would carry."""
    wish = wish_of(venue)
    names = ["name", "purpose", "secret"]
    names += ["account"] if venue == "hyperliquid" else ["api_key"]
    names += ["passphrase"] if wish.passphrase else []
    return {name: getattr(wish, name) for name in names} | changed


# ---------------------------------------------------------------- the page
@pytest.mark.parametrize("venue", KEY_VENUES)
def test_each_venue_has_a_form_that_the_browser_does_not_remember(page: Client, venue: str) -> None:
    """Secrets in password fields, nothing autocompleted, nothing kept by the browser."""
    answer = page.get(f"{PAGE}?venue={venue}")
    body = answer.content.decode()
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert '<input type="password" name="secret"' in body
    assert ('name="passphrase"' in body) == (venue in {"okx", "kucoin"})
    assert body.count('autocomplete="off"') >= 3
    assert f"Add a key of {KEY_VENUES[venue].label}" in body
    assert "Never" in body or "never" in body


def test_a_key_is_entered_and_listed_masked(page: Client, venues: KeyVenues) -> None:
    """The list shows venue, name, mask, purpose and when it was checked."""
    answer = page.post(f"{PAGE}?venue=okx", typed("okx", name="Read mine"), follow=True)
    body = answer.content.decode()
    assert answer.redirect_chain == [(PAGE, 302)]
    for words in ("Read mine", "37c5…4d5e", "OKX", "read only", "is kept"):
        assert words in body
    for part in (*SECRETS["okx"], PASSPHRASE):
        assert part not in body
    assert Credential.objects.get().name == "Read mine"


def test_nothing_secret_comes_back_with_an_error(page: Client, venues: KeyVenues) -> None:
    """The name does; the key has to be pasted again."""
    venues.say("binance", BINANCE_KEY, enableWithdrawals=True)
    answer = page.post(f"{PAGE}?venue=binance", typed("binance", name="Kept name"))
    body = answer.content.decode()
    assert answer.status_code == 400
    assert "This key can withdraw money from Binance" in body
    assert "Kept name" in body
    for part in SECRETS["binance"]:
        assert part not in body
    assert not Credential.objects.exists()


def test_a_venue_that_is_away_is_said_above_the_form(page: Client, venues: KeyVenues) -> None:
    """503, nothing kept, nothing echoed."""
    venues.answer(PATHS["kraken"], "down", status=503)
    answer = page.post(f"{PAGE}?venue=kraken", typed("kraken"))
    assert answer.status_code == 503
    assert "Nothing was kept; enter the key again in a while." in answer.content.decode()
    assert SECRETS["kraken"][1] not in answer.content.decode()
    assert not Credential.objects.exists()


def test_an_api_wallet_and_a_sandbox_are_entered_too(page: Client, venues: KeyVenues) -> None:
    """Hyperliquid: account and private key; Binance: its test environment."""
    venues.answer(PATHS["hyperliquid"], {"role": "agent", "data": {"user": MASTER}})
    assert page.post(f"{PAGE}?venue=hyperliquid", typed("hyperliquid")).status_code == 302
    venues.answer(PATHS["binance test"], {"canTrade": True, "uid": 5})
    form = typed("binance", purpose="trade", sandbox="on")
    assert page.post(f"{PAGE}?venue=binance", form).status_code == 302
    assert list(Credential.objects.values_list("venue", "sandbox")) == [
        ("hyperliquid", False),
        ("binance", True),
    ]
    assert "test environment" in page.get(PAGE).content.decode()


def test_keys_are_renamed_and_revoked_on_the_page(page: Client, kept: Credential) -> None:
    """Revoking erases; a second press finds nothing; a bad name changes nothing."""
    page.post(reverse("dashboard:key_rename", args=[kept.pk]), {"name": "Better"})
    page.post(reverse("dashboard:key_rename", args=[kept.pk]), {"name": ""})
    assert Credential.objects.get().name == "Better"
    revoke = reverse("dashboard:key_revoke", args=[kept.pk])
    assert page.get(revoke).status_code == 405
    assert page.post(revoke).status_code == 302
    assert Credential.objects.get().sealed == ""
    assert page.post(revoke).status_code == 404


def test_a_key_that_was_marked_says_so(page: Client, kept: Credential) -> None:
    """The owner learns why it is not used."""
    Credential.objects.update(check_error="This key can withdraw money from Binance.")
    assert "Not used any more: This key can withdraw" in page.get(PAGE).content.decode()


def test_the_page_is_its_owners_alone(
    venues: KeyVenues, kept: Credential, charlie: User, client_of: Callable[[Any], Client]
) -> None:
    """Charlie sees his own empty list and is told that Alice's key does not exist; nobody signs in first."""
    outsider = client_of(charlie)
    body = outsider.get(PAGE).content.decode()
    assert kept.mask not in body
    assert "No key yet" in body
    for name in ("key_rename", "key_revoke"):
        missing = outsider.post(reverse(f"dashboard:{name}", args=[kept.pk + 1]), {"name": "x"})
        refused = outsider.post(reverse(f"dashboard:{name}", args=[kept.pk]), {"name": "x"})
        assert refused.status_code == missing.status_code == 404
        assert text_of(refused) == text_of(missing)
        assert Client().post(reverse(f"dashboard:{name}", args=[kept.pk])).status_code == 302
    assert Client().get(PAGE).url.startswith("/accounts/login/")
    asked = len(venues.asked)
    assert Client().post(f"{PAGE}?venue=binance", typed("binance")).url.startswith("/accounts/login/")
    assert len(venues.asked) == asked
    row = Credential.objects.get()
    assert (row.name, row.sealed) == (kept.name, kept.sealed)


def test_forms_need_their_token_and_a_venue_that_is_known(alice: User, page: Client) -> None:
    """No forged form enters a key; an unknown venue is no page."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(f"{PAGE}?venue=binance", typed("binance")).status_code == 403
    assert page.get(f"{PAGE}?venue=bitfinex").status_code == 404
    assert page.post(PAGE, typed("binance")).status_code == 400
    assert ' style="' not in page.get(f"{PAGE}?venue=okx").content.decode()


# ---------------------------------------------------------------- the API
def test_the_api_keeps_lists_renames_and_erases(venues: KeyVenues, alice: User) -> None:
    """The answer to each holds what may be seen and nothing else."""
    api = api_of(alice)
    added = api.post(API, {"venue": "okx", **typed("okx")}, content_type="application/json")
    assert added.status_code == 201
    body = added.json()
    assert set(body) == {
        "id", "venue", "sandbox", "purpose", "name", "mask", "account_id", "permissions", "checked_at",
        "check_error", "created_at",
    }  # fmt: skip
    assert (body["mask"], body["permissions"], body["account_id"]) == ("37c5…4d5e", ["read_only"], "43812")
    assert added.headers["Cache-Control"] == "no-store"
    one = f"{API}{body['id']}/"
    assert api.get(API).json() == {"count": 1, "results": [body]}
    assert api.get(one).json() == body
    renamed = api.patch(one, {"name": "Mine"}, content_type="application/json")
    assert renamed.json() == {**body, "name": "Mine"}
    assert api.delete(one).status_code == 204
    assert api.delete(one).status_code == 404
    assert api.get(API).json() == {"count": 0, "results": []}


def test_the_api_names_the_field_at_fault_and_quotes_nothing(venues: KeyVenues, alice: User) -> None:
    """400 for what is refused, 503 where nobody answers; the secret is in neither."""
    api = api_of(alice)
    venues.say("binance", BINANCE_KEY, enableWithdrawals=True)
    refused = api.post(API, {"venue": "binance", **typed("binance")}, content_type="application/json")
    assert refused.status_code == 400
    assert "can withdraw" in refused.json()["errors"]["api_key"][0]
    venues.answer(PATHS["binance"], "down", status=503)
    later = api.post(API, {"venue": "binance", **typed("binance")}, content_type="application/json")
    assert later.status_code == 503
    unknown = api.post(
        API, {"venue": "binance", "sekret": "x", **typed("binance")}, content_type="application/json"
    )
    assert unknown.json()["errors"] == {"sekret": ["There is no such field."]}
    for answer in (refused, later, unknown):
        for part in SECRETS["binance"]:
            assert part not in answer.content.decode()
    assert not Credential.objects.exists()


def test_the_api_is_the_owners_alone(kept: Credential, charlie: User) -> None:
    """Charlie gets 404 for Alice's, as for what does not exist; without a token there is nothing."""
    outsider, one = api_of(charlie), f"{API}{kept.pk}/"
    assert outsider.get(API).json() == {"count": 0, "results": []}
    missing = outsider.get(f"{API}{kept.pk + 1}/").json()
    for answer in (
        outsider.get(one),
        outsider.delete(one),
        outsider.patch(one, {"name": "x"}, content_type="application/json"),
    ):
        assert answer.status_code == 404
        assert {**answer.json(), "detail": ""} == {**missing, "detail": ""}
    for client in (Client(), Client(headers={"Authorization": "Token nonsense0123456789"})):
        assert client.get(API).status_code == 401
        assert client.delete(one).status_code == 401
        assert client.post(API, typed("binance"), content_type="application/json").status_code == 401
    row = Credential.objects.get()
    assert (row.name, row.sealed) == (kept.name, kept.sealed)
    assert WALLET_KEY not in row.sealed
