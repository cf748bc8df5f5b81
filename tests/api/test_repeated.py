"""API-1: an Idempotency-Key does a thing once, and a pace holds back whoever runs wild."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.answers import (
    Kept,
    OutcomeUnknown,
    StillWorking,
    answer_claim,
    answer_keep,
    answer_release,
    answers_prune,
)
from accounts.models import KeptAnswer, Portfolio, User
from api import throttling
from api.base import ApiView
from api.urls import urlpatterns
from core.clock import utc_now
from core.errors import KeyReused
from tests.api.conftest import LIST, problem, token_client, url_of
from tests.tokens import token_of
from traders.models import PushAgent

AGENTS = "/api/v1/agents/"
# One makes a token, one ends it, one is guarded by its sequence.
OWN_WAY = {"TokenView", "LogoutView", "AgentPositionsView"}


def post(client: Client, path: str, body: Any, key: str = "one") -> Any:
    """POST JSON under a key."""
    return client.post(path, body, content_type="application/json", headers={"Idempotency-Key": key})


def test_every_post_is_guarded() -> None:
    """API-1: whatever does something takes the header."""
    views = {getattr(pattern.callback, "view_class", object) for pattern in urlpatterns}
    posting = {view for view in views if issubclass(view, ApiView) and hasattr(view, "post")}
    open_ones = {view.__name__ for view in posting if not (view.keyed or getattr(view.post, "once", False))}
    assert open_ones == OWN_WAY


def test_the_same_request_is_done_once_and_answered_alike(alice: User) -> None:
    """API-1: a secret that is shown once is in the repeated answer too, and at rest it is sealed."""
    client = token_client(alice)
    first = post(client, AGENTS, {"name": "Grid", "interval_s": 300})
    again = post(client, AGENTS, {"interval_s": 300, "name": "Grid"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert PushAgent.objects.count() == 1
    assert first.json()["secret"] not in KeptAnswer.objects.get().sealed


def test_another_request_under_the_key_is_refused(alice: User, bob: User) -> None:
    """API-1: 422, and nothing is done; the key is each person's own."""
    client = token_client(alice)
    post(client, AGENTS, {"name": "Grid"})
    other = post(client, AGENTS, {"name": "Another"})
    assert other.status_code == 422
    assert problem(other)["type"] == "urn:ensemble:problem:key-used"
    assert PushAgent.objects.count() == 1
    assert post(token_client(bob), AGENTS, {"name": "Another"}).status_code == 201


def test_a_refused_request_leaves_the_key_free(alice: User) -> None:
    """API-1: nothing was done, so the corrected request may use it."""
    client = token_client(alice)
    assert post(client, AGENTS, {"name": ""}).status_code == 400
    assert KeptAnswer.objects.count() == 0
    assert post(client, AGENTS, {"name": "Grid"}).status_code == 201


@pytest.mark.parametrize("key", ["x" * 81, "é"])
def test_a_key_is_short_plain_text(alice: User, key: str) -> None:
    """API-1: anything else is refused with the header's name."""
    answer = post(token_client(alice), AGENTS, {"name": "Grid"}, key=key)
    assert list(problem(answer)["errors"]) == ["Idempotency-Key"]
    assert PushAgent.objects.count() == 0


def test_an_unknown_end_is_not_a_failure(alice: User) -> None:
    """API-1: while the first works the second waits; where it died, the request is not carried out again."""
    now, claim = utc_now(), {"owner": alice, "key": "one", "fingerprint": "a" * 64}
    first = answer_claim(**claim, now=now)
    with pytest.raises(StillWorking):
        answer_claim(**claim, now=now + timedelta(seconds=59))
    with pytest.raises(OutcomeUnknown):
        answer_claim(**claim, now=now + timedelta(seconds=60))
    with pytest.raises(KeyReused):
        answer_claim(**{**claim, "fingerprint": "b" * 64}, now=now)
    answer_keep(claim=first, kept=Kept(status=201, body='{"a": 1}'), now=now)
    answer_release(claim=first)  # too late: it is kept
    assert answer_claim(**claim, now=now).kept == Kept(status=201, body='{"a": 1}')
    assert answer_claim(**claim, now=now + timedelta(hours=24)).kept is None


def test_answers_are_forgotten_after_a_day(alice: User) -> None:
    """API-1: and not a moment before."""
    now = utc_now()
    answer_claim(owner=alice, key="one", fingerprint="a" * 64, now=now)
    assert answers_prune(now=now + timedelta(hours=24, microseconds=-1)) == 0
    assert answers_prune(now=now + timedelta(hours=24)) == 1
    assert KeptAnswer.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_twins_do_it_once(alice: User) -> None:
    """API-1: two at the same moment: one is carried out, the other hears the same or is to wait."""
    token, start, answers = token_of(alice), Barrier(2), list[Any]()

    def ask() -> None:
        client = Client(headers={"Authorization": f"Token {token}"})
        start.wait()
        try:
            answers.append(post(client, AGENTS, {"name": "Grid"}))
        finally:
            connections.close_all()

    twins = [Thread(target=ask) for _ in range(2)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()
    assert PushAgent.objects.count() == 1
    assert sorted(answer.status_code for answer in answers) in ([201, 201], [201, 409])


# ---------------------------------------------------------------- paces
@pytest.fixture
def half_past() -> Iterator[None]:
    """A clock that stands still, thirty seconds into a minute."""
    with time_machine.travel(datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC), tick=False):
        yield


def test_every_answer_tells_what_is_left(half_past: None, alice: User, settings: Any) -> None:
    """API-1: for the person and for the token, and when it begins anew."""
    settings.API_PERSON_PER_MINUTE, settings.API_TOKEN_PER_MINUTE = 40, 10
    answer = token_client(alice).get(LIST)
    assert answer.headers["RateLimit-Policy"] == '"person";q=40;w=60, "token";q=10;w=60'
    assert answer.headers["RateLimit"] == '"person";r=39;t=30, "token";r=9;t=30'


def test_who_is_too_fast_waits_and_others_do_not(
    half_past: None, portfolio: Portfolio, alice: User, bob: User, settings: Any
) -> None:
    """API-1: 429 with Retry-After for this token alone; the emergency stop passes all the same."""
    settings.API_TOKEN_PER_MINUTE = 3
    client = token_client(alice)
    assert [client.get(LIST).status_code for _ in range(3)] == [200, 200, 200]
    slow = client.get(LIST)
    assert (slow.status_code, slow.headers["Retry-After"]) == (429, "30")
    assert problem(slow)["type"] == "urn:ensemble:problem:too-many-requests"
    assert slow.headers["RateLimit"] == '"person";r=596;t=30, "token";r=0;t=30'
    assert token_client(alice).get(LIST).status_code == 200
    assert token_client(bob).get(LIST).status_code == 200
    stop = {"confirm": portfolio.name}
    asked = post(client, url_of(portfolio, "commands/"), {"kind": "emergency_stop", "data": stop})
    assert asked.status_code == 202
    url = url_of(portfolio, "emergency-stop/")
    assert client.post(url, stop, content_type="application/json").status_code == 202


def test_without_redis_nobody_is_held_up(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPS-1: the pace guards the server; it is no reason to refuse."""

    def away(*_: Any) -> int:
        raise RedisConnectionError("no Redis")

    client = token_client(alice)
    monkeypatch.setattr(throttling, "_count", away)
    answer = client.get(LIST)
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers
