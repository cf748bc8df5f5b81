"""SEC-1: real-looking secrets are entered, every step is made to fail, and everything is searched for them.

Searched: every log at DEBUG, whatever the libraries write; pages and answers, with DEBUG on and off; the
admin; Redis; every text column of the database but the sealed ones; what is printed or pickled.
"""

from __future__ import annotations

import html
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import redis
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Credential, User
from accounts.sealing import AccountKeys
from core.clock import utc_now
from engine.credentials import credential_add, credentials_check
from markets.exchanges import exchange_make
from tests.keys.conftest import MASTER, PASSPHRASE, SECRETS, WALLET_KEY, ec_pem, keys_of, wish_of
from tests.keys.test_doors import API, PAGE, api_of, typed
from tests.loopback.keys import OKX_KEY, PATHS, KeyVenues

pytestmark = pytest.mark.django_db
VENUES = ("binance", "okx", "coinbase", "hyperliquid")
SEALED = {("accounts_credential", "sealed")}


def needles() -> list[str]:
    """Return every form in which a secret of these tests could turn up."""
    plain = [SECRETS["binance"][1], SECRETS["okx"][1], PASSPHRASE, WALLET_KEY[2:], ec_pem().splitlines()[1]]
    forms = [form(part) for part in plain for form in (str, quote, quote_plus, html.escape)]
    return [*forms, *(json.dumps(part)[1:-1] for part in plain)]


def assert_clean(text: str, where: str) -> None:
    """Fail if any secret is in a text, saying where and not what."""
    assert not any(needle in text for needle in needles()), f"a secret is in {where}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Have every logger write everything; the function returns all of it as text, tracebacks included."""
    caplog.set_level(logging.DEBUG)
    names = [
        name for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)

    def text() -> str:
        lines = []
        for record in caplog.records:
            lines += [str(record.msg), str(record.args), record.getMessage(), str(record.__dict__)]
            if record.exc_info and record.exc_info[1]:
                lines += traceback.format_exception(record.exc_info[1])
        return "\n".join(lines)

    yield text
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _agents(venues: KeyVenues) -> None:
    venues.answer(PATHS["hyperliquid"], {"role": "agent", "data": {"user": MASTER}})


def _everything_stored() -> str:
    """Return every text of the database outside the sealed columns, and all of Redis."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND data_type IN ('text', 'character varying', 'json', 'jsonb', 'ARRAY', 'bytea')"
        )
        for table, column in cursor.fetchall():
            if (table, column) not in SEALED:
                cursor.execute(f'SELECT "{column}"::text FROM "{table}"')  # noqa: S608 - names of our own
                found += [row[0] or "" for row in cursor.fetchall()]
    return "\n".join(found)


def _redis(client: redis.Redis) -> str:
    return "\n".join(repr(client.dump(key)) + repr(key) for key in client.keys("*"))


def _enter(page: Client, api: Client) -> Iterator[tuple[str, Any]]:
    """Enter the key of each venue by page and by API; return the answers."""
    for venue in VENUES:
        form = typed(venue, purpose="trade" if venue == "hyperliquid" else "follow")
        yield f"{venue} page", page.post(f"{PAGE}?venue={venue}", form)
        body = {"venue": venue, **form, "name": f"{venue} by API"}
        yield f"{venue} API", api.post(API, body, content_type="application/json")


@pytest.fixture
def doors(alice: User, client_of: Callable[[Any], Client]) -> tuple[Client, Client]:
    """Alice's browser and her program; a fault of the server's is an answer, as it is outside of tests."""
    page, api = client_of(alice), api_of(alice)
    page.raise_request_exception = api.raise_request_exception = False
    return page, api


def _fault(*_: Any, **__: Any) -> None:
    raise RuntimeError("broken on purpose")


def _quotes(venue: str) -> dict[str, Any]:
    """Return an error in which a venue quotes what it was sent, long enough to be cut in the middle of it."""
    keys = keys_of(venue)
    said = f"bad {keys.secret} {keys.password} {'.' * 70} {keys.secret}"
    return {"code": -1000, "msg": said, "error": said}


ANSWERS: dict[str, Callable[[str], tuple[int, Any]]] = {
    "venue is down": lambda venue: (503, "down"),
    "wrong key": lambda venue: (401, {"code": -2015, "msg": "Invalid API-key", "data": []}),
    "no JSON": lambda venue: (200, "<html>half an ans"),
    "the venue quotes the secret": lambda venue: (400, _quotes(venue)),
}
FAULTS = {
    "connection": "requests.Session.request",
    "judging": "engine.credentials.permissions_refusal",
    "sealing": "accounts.credentials.keys_seal",
    "storing": "accounts.models.Credential.save",
}
STEPS = [("nothing", False), ("nothing", True), ("unknown word", False)]
STEPS += [(step, False) for step in ANSWERS] + [(step, debug) for step in FAULTS for debug in (False, True)]


def _fail(venues: KeyVenues, patch: pytest.MonkeyPatch, step: str) -> None:
    """Break one step of entering a key."""
    _agents(venues)
    if step in ANSWERS:
        for venue in VENUES:
            status, body = ANSWERS[step](venue)
            venues.answer(PATHS[venue], body, status=status)
    elif step in FAULTS:
        patch.setattr(FAULTS[step], _fault)
    elif step == "unknown word":
        venues.say("okx", OKX_KEY, perm="read_only,time_travel")


@pytest.mark.parametrize(("step", "debug"), STEPS)
def test_no_secret_is_anywhere_whatever_fails(
    doors: tuple[Client, Client], venues: KeyVenues, log: Callable[[], str], redis_client: redis.Redis,
    settings: Any, monkeypatch: pytest.MonkeyPatch, step: str, debug: bool,
) -> None:  # fmt: skip
    """Answers, logs, database and Redis after each way in which entering a key can end."""
    settings.DEBUG = debug
    with monkeypatch.context() as patch:
        _fail(venues, patch, step)
        statuses = set()
        for name, answer in _enter(*doors):
            statuses.add(answer.status_code)
            assert_clean(answer.content.decode() + str(answer.headers), f"the answer to {name}")
    assert (500 in statuses) == (step in FAULTS)
    assert AuditEntry.objects.filter(action="credential.add").count() == 2 * len(VENUES)
    assert_clean(log(), "the log")
    assert_clean(_everything_stored(), "the database")
    assert_clean(_redis(redis_client), "Redis")


def test_an_error_page_tells_where_and_never_with_what(
    doors: tuple[Client, Client], venues: KeyVenues, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DEBUG on, the report names the fault and its place, without any variable or field."""
    settings.DEBUG = True
    _fail(venues, monkeypatch, "connection")
    body = doors[0].post(f"{PAGE}?venue=okx", typed("okx")).content.decode()
    assert "broken on purpose" in body
    assert "permissions_read" in body
    assert_clean(body, "the error page")


def test_the_admin_shows_that_a_key_is_there_and_not_what_it_is(
    venues: KeyVenues, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """Neither the seal nor what is in it, in lists, details and searches, of keys and of the audit log."""
    made = credential_add(owner=alice, wish=wish_of("okx"), via="page", now=utc_now())
    root = client_of(User.objects.create_superuser("root@example.com", "a long enough password"))
    for model, pk in (("credential", made.pk), ("auditentry", AuditEntry.objects.get().pk)):
        for url in (
            reverse(f"admin:accounts_{model}_changelist"),
            reverse(f"admin:accounts_{model}_changelist") + "?q=okx",
            reverse(f"admin:accounts_{model}_change", args=[pk]),
        ):
            body = root.get(url).content.decode()
            assert made.mask in body or model == "auditentry"
            assert made.sealed not in body
            assert_clean(body, url)


def test_the_daily_look_tells_nothing(
    venues: KeyVenues, alice: User, log: Callable[[], str], redis_client: redis.Redis
) -> None:
    """Keys are opened where they are used; no task, log or row sees them."""
    from datetime import timedelta

    from engine.tasks import upkeep_check_keys

    for venue in ("binance", "okx", "coinbase"):
        credential_add(owner=alice, wish=wish_of(venue), via="page", now=utc_now())
    Credential.objects.update(checked_at=utc_now() - timedelta(days=2))
    venues.answer(PATHS["okx"], {"code": "50111", "msg": f"no {PASSPHRASE}", "data": []}, status=401)
    venues.answer(PATHS["coinbase"], "down", status=503)
    upkeep_check_keys.delay()
    assert_clean(_redis(redis_client), "the queue")
    assert credentials_check(now=utc_now()).refused == (Credential.objects.get(venue="okx").pk,)
    assert_clean(log(), "the log")
    assert_clean(_everything_stored(), "the database")


def test_keys_are_neither_printed_nor_pickled() -> None:
    """Not by themselves, not inside a client, not inside an error."""
    for venue in VENUES:
        keys = keys_of(venue)
        client = exchange_make(venue=venue, keys=keys)
        assert_clean(f"{keys} {keys!r} {client} {client!r} {[keys]} {keys!a}", "what is printed")
        client.session.close()
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(keys)
        with pytest.raises(TypeError):
            json.dumps(keys)
    assert AccountKeys(api_key="a", secret="b", password="c").secrets() == ("b", "c")
