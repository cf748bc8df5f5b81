"""FOL-3, SEC-1: agents post their positions under a signature that nobody else makes and nothing repeats."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.models import AuditEntry, User
from accounts.sealing import text_open
from allocation.models import Follow
from core.clock import utc_now
from core.errors import InputError, NotFound
from engine.credentials import SEALED_COLUMNS
from tests.api.conftest import problem
from tests.api.making import portfolio_make
from traders.domain.signing import body_digest, post_signature, string_to_sign, whole_number
from traders.models import PushAgent, Trader
from traders.payloads import read_load
from traders.push import (
    BURST,
    MAX_AGENTS,
    NewAgent,
    PostedTooFast,
    agent_get,
    agent_monogram,
    agent_pace,
    agent_register,
    agents_of,
)

pytestmark = pytest.mark.django_db
AGENTS = "/api/v1/agents/"


@pytest.fixture
def made(alice: User) -> NewAgent:
    """Alice's agent, which promises to post every five minutes."""
    return agent_register(owner=alice, name="Grid bot", interval_s=300, via="page", now=utc_now())


def body_of(sequence: Any = 1, **changed: Any) -> dict[str, Any]:
    """Return a post of one position, of this moment."""
    body = {
        "at": utc_now().isoformat(),
        "sequence": sequence,
        "equity": "10250.00",
        "positions": [
            {"instrument": "BTC", "quantity": "-0.05", "entry_price": "98000", "mark_price": "97500.5"}
        ],
    }
    return {**body, **changed}


def post(
    made: NewAgent, body: dict[str, Any] | bytes, *, client: Client | None = None, **changed: Any
) -> Any:
    """Sign a body and post it; what is changed is changed after the fact, or signed as told."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    sequence = "1" if isinstance(body, bytes) else str(body.get("sequence"))
    path = f"{AGENTS}{made.agent.public_id}/positions/"
    signed = {
        "timestamp": str(int(utc_now().timestamp())),
        "sequence": sequence,
        "method": "POST",
        "path": path,
    }
    signed |= {name: changed.pop(name) for name in list(changed) if name in signed}
    text = string_to_sign(**signed, digest=body_digest(body=changed.pop("signed_body", sent)))
    headers = {
        "X-Ensemble-Timestamp": signed["timestamp"],
        "X-Ensemble-Sequence": signed["sequence"],
        "X-Ensemble-Signature": post_signature(secret=changed.pop("secret", made.secret), text=text),
    }
    headers |= changed.pop("headers", {})
    assert not changed
    return (client or Client()).post(path, sent, content_type="application/json", headers=headers)


# ---------------------------------------------------------------- posting
def test_a_post_is_kept_exactly(made: NewAgent) -> None:
    """Decimals to the last digit, signed quantities, the time as told, and when it came."""
    body = body_of(7)
    answer = post(made, body)
    assert (answer.status_code, answer.json()) == (200, {"sequence": 7, "repeated": False})
    assert answer.headers["Cache-Control"] == "no-store"
    agent = PushAgent.objects.get()
    assert (agent.sequence, agent.at) == (7, datetime.fromisoformat(body["at"]))
    read = read_load(agent.payload)
    assert (read.equity, read.world_at, len(read.positions)) == (D("10250"), agent.at, 1)
    (position,) = read.positions
    assert (position.code, position.quantity, position.entry_price) == ("BTC", D("-0.05"), D(98000))
    assert (position.mark_price, position.opened_at) == (D("97500.5"), None)


def test_an_empty_book_is_a_post(made: NewAgent) -> None:
    """Holding nothing is something to say."""
    assert post(made, body_of(1, positions=[])).status_code == 200
    assert read_load(PushAgent.objects.get().payload).positions == ()


def test_the_same_post_again_does_nothing_and_says_so(made: NewAgent) -> None:
    """An agent whose answer was lost posts the same once more, signed anew."""
    body = body_of(3)
    assert post(made, body).json() == {"sequence": 3, "repeated": False}
    before = PushAgent.objects.values().get()
    again = post(made, body)
    assert (again.status_code, again.json()) == (200, {"sequence": 3, "repeated": True})
    after = PushAgent.objects.values().get()
    assert {**after, "paced_at": None} == {**before, "paced_at": None}


@pytest.mark.parametrize("sequence", [3, 2, 1])
def test_another_post_under_a_used_sequence_is_a_conflict(made: NewAgent, sequence: int) -> None:
    """Sequences only rise, whatever is in the body."""
    post(made, body_of(3))
    before = PushAgent.objects.values_list("sequence", "digest", "payload").get()
    answer = post(made, body_of(sequence, equity="1"))
    assert answer.status_code == 409
    assert "has the sequence 3" in problem(answer)["detail"]
    assert PushAgent.objects.values_list("sequence", "digest", "payload").get() == before


def test_of_posts_at_once_under_one_sequence_one_counts(transactional_db: None, alice: User) -> None:
    """The sequence is raised by one conditional UPDATE; the others are told."""
    made = agent_register(owner=alice, name="Racer", interval_s=300, via="page", now=utc_now())
    bodies = [body_of(5, equity=str(number)) for number in range(1, 7)]

    def send(body: dict[str, Any]) -> int:
        try:
            return int(post(made, body).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(send, bodies))
    assert statuses == [200, 409, 409, 409, 409, 409]
    assert PushAgent.objects.get().sequence == 5


# ---------------------------------------------------------------- who may
FORGED: list[dict[str, Any]] = [
    {"secret": "another secret"},
    {"signed_body": b"{}"},
    {"method": "PUT"},
    {"path": "/api/v1/agents/"},
    {"timestamp": "not a time"},
    {"timestamp": ""},
    {"headers": {"X-Ensemble-Signature": ""}},
    {"headers": {"X-Ensemble-Signature": "żółw"}},
    {"headers": {"X-Ensemble-Signature": "0" * 64}},
    {"headers": {"X-Ensemble-Sequence": "2"}},
    {"headers": {"X-Ensemble-Timestamp": "1"}},
]


@pytest.mark.parametrize("forged", FORGED)
def test_what_the_agent_did_not_sign_is_refused(made: NewAgent, forged: dict[str, Any]) -> None:
    """Another secret, another body, method, path, time or sequence; nothing of it is kept."""
    answer = post(made, body_of(1), **forged)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Ensemble-Signature"
    problem(answer)
    agent = PushAgent.objects.get()
    assert (agent.sequence, agent.payload, agent.paced_at) == (0, None, made.agent.paced_at)


def test_an_unknown_agent_is_refused_like_a_wrong_signature(made: NewAgent, alice: User) -> None:
    """Who guesses at ids learns nothing, nor who signs with the secret of another agent."""
    wrong = post(made, body_of(1), secret="another secret")
    other = agent_register(owner=alice, name="Other", interval_s=60, via="page", now=utc_now())
    foreign = post(NewAgent(agent=made.agent, secret=other.secret), body_of(1))
    stranger = PushAgent(public_id="00000000-0000-4000-8000-000000000000")
    unknown = post(NewAgent(agent=stranger, secret=made.secret), body_of(1))
    assert [answer.status_code for answer in (wrong, foreign, unknown)] == [401, 401, 401]
    assert wrong.content == foreign.content == unknown.content


@pytest.mark.parametrize(
    ("away_s", "status"), [(0, 200), (-28, 200), (28, 200), (-32, 401), (32, 401), (10**6, 401)]
)
def test_a_signature_counts_for_thirty_seconds(made: NewAgent, away_s: int, status: int) -> None:
    """A copy that was caught is useless soon; an agent whose clock is wrong is told that."""
    answer = post(made, body_of(1), timestamp=str(int(utc_now().timestamp()) + away_s))
    assert answer.status_code == status
    if status == 401:
        assert "not within 30 s" in problem(answer)["detail"]
    assert PushAgent.objects.get().sequence == (1 if status == 200 else 0)


def test_no_session_and_no_token_posts_and_the_signature_opens_nothing(
    made: NewAgent, alice: User, api_of: Callable[[User], Client], client_of: Callable[[Any], Client]
) -> None:
    """Each door has its own key."""
    path = f"{AGENTS}{made.agent.public_id}/positions/"
    for client in (api_of(alice), client_of(alice)):
        assert client.post(path, body_of(1), content_type="application/json").status_code == 401
        assert client.get(path).status_code == 405
    signed = {
        "X-Ensemble-Timestamp": str(int(utc_now().timestamp())),
        "X-Ensemble-Sequence": "1",
        "X-Ensemble-Signature": "0" * 64,
        "Authorization": f"Token {made.secret}",
    }
    for address in (AGENTS, f"{AGENTS}{made.agent.public_id}/", "/api/v1/portfolios/"):
        assert Client(headers=signed).get(address).status_code == 401
    assert PushAgent.objects.get().sequence == 0


def test_an_agent_that_was_revoked_or_has_a_new_secret_signs_no_more(made: NewAgent, api: Client) -> None:
    """At once; and a new secret works at once."""
    rotated = api.post(f"{AGENTS}{made.agent.public_id}/secret/").json()
    assert post(made, body_of(1)).status_code == 401
    renewed = NewAgent(agent=made.agent, secret=rotated["secret"])
    assert post(renewed, body_of(1)).status_code == 200
    assert api.delete(f"{AGENTS}{made.agent.public_id}/").status_code == 204
    assert post(renewed, body_of(2)).status_code == 401
    assert PushAgent.objects.get().sealed == ""


# ---------------------------------------------------------------- what makes no sense
POSITION = {"instrument": "BTC", "quantity": "1", "entry_price": "2"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"at": "yesterday"}, "at"),
    ({"at": "2026-01-31T12:00:00"}, "at"),
    ({"at": 5}, "at"),
    ({"equity": 10250}, "equity"),
    ({"equity": "NaN"}, "equity"),
    ({"equity": "Infinity"}, "equity"),
    ({"equity": "1e40"}, "equity"),
    ({"equity": "0.123456789"}, "equity"),
    ({"positions": None}, "positions"),
    ({"positions": [POSITION] * 201}, "positions"),
    ({"positions": [POSITION, POSITION]}, "positions"),
    ({"positions": [{**POSITION, "quantity": 1}]}, "positions.0.quantity"),
    ({"positions": [{**POSITION, "quantity": "0"}]}, "positions.0.quantity"),
    ({"positions": [{**POSITION, "entry_price": "0"}]}, "positions.0.entry_price"),
    ({"positions": [{**POSITION, "mark_price": "-1"}]}, "positions.0.mark_price"),
    ({"positions": [{**POSITION, "instrument": "no code!"}]}, "positions.0.instrument"),
    ({"positions": [{**POSITION, "opened_at": "soon"}]}, "positions.0.opened_at"),
    ({"positions": [{**POSITION, "leverage": "5"}]}, "positions.0.leverage"),
    ({"positions": [{"instrument": "BTC"}]}, "positions.0.quantity"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("changed", "field"), WRONG)
def test_a_post_that_makes_no_sense_names_its_field(
    made: NewAgent, changed: dict[str, Any], field: str
) -> None:
    """Nothing of it is kept, and its sequence is still free."""
    answer = post(made, body_of(1, **changed))
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in problem(answer)["errors"]), answer.json()
    assert PushAgent.objects.get().sequence == 0
    assert post(made, body_of(1)).status_code == 200


@pytest.mark.parametrize("sequence", [0, -1, 2**63, "x", None, 1.5, True])
def test_a_sequence_is_a_whole_number_and_the_headers(made: NewAgent, sequence: Any) -> None:
    """Anything else is refused, wherever it stands."""
    answer = post(made, body_of(sequence))
    assert answer.status_code == 400
    assert PushAgent.objects.get().sequence == 0
    mismatch = post(made, body_of(5), sequence="4")
    assert list(problem(mismatch)["errors"]) == ["sequence"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_refused(made: NewAgent, body: bytes) -> None:
    """Signed or not."""
    assert post(made, body).status_code == 400
    assert PushAgent.objects.get().sequence == 0


def test_a_body_beyond_the_limit_is_refused(made: NewAgent) -> None:
    """64 KiB are far more than 200 positions need; 200 are taken."""
    assert post(made, b" " * (64 * 1024 + 1)).status_code == 413
    many = [{**POSITION, "instrument": f"C{number}"} for number in range(200)]
    assert post(made, body_of(1, positions=many)).status_code == 200


@pytest.mark.parametrize(
    ("off_s", "words"), [(60, "in the future"), (-301, "older than the 300 s"), (0, ""), (-290, "")]
)
def test_the_time_of_a_post_is_about_now(made: NewAgent, off_s: int, words: str) -> None:
    """Neither ahead of the clock nor older than the promise."""
    answer = post(made, body_of(1, at=(utc_now() + timedelta(seconds=off_s)).isoformat()))
    assert answer.status_code == (400 if words else 200)
    assert words in answer.content.decode()


def test_the_time_of_posts_rises(made: NewAgent) -> None:
    """A later post is of a later moment, or the sync could not tell them apart."""
    first = body_of(1)
    post(made, first)
    answer = post(made, body_of(2, at=first["at"], equity="1"))
    assert list(problem(answer)["errors"]) == ["at"]
    assert PushAgent.objects.get().sequence == 1


# ---------------------------------------------------------------- how often
def test_ten_at_once_then_two_a_second(made: NewAgent) -> None:
    """Counted exactly; what is refused takes no room."""
    now, agent, waits = utc_now(), made.agent, list[float]()

    def taken(at: datetime) -> bool:
        try:
            agent_pace(agent=agent, now=at)
        except PostedTooFast as error:
            waits.append(error.retry_after_s)
            return False
        return True

    assert [taken(now) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    half, second = now + timedelta(seconds=0.5), now + timedelta(seconds=1)
    assert [taken(half), taken(half), taken(second), taken(second)] == [True, False, True, False]
    assert waits == [0.5, 0.5, 0.5, 0.5]
    later = now + timedelta(hours=1)
    assert [taken(later) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_too_many_posts_are_told_when_to_come_back(made: NewAgent) -> None:
    """429 with Retry-After; a signature that is wrong takes no room from the agent."""
    for _ in range(BURST + 5):
        assert post(made, body_of(1), secret="another secret").status_code == 401
    PushAgent.objects.update(paced_at=utc_now() + timedelta(seconds=30))
    answer = post(made, body_of(1))
    assert answer.status_code == 429
    assert 20 <= int(answer.headers["Retry-After"]) <= 30
    problem(answer)
    assert PushAgent.objects.get().sequence == 0


# ---------------------------------------------------------------- looking after agents
def test_an_agent_is_registered_listed_changed_and_revoked(api: Client, alice: User) -> None:
    """The secret is in the first answer alone; each step is in the audit log without it."""
    added = api.post(AGENTS, {"name": " My  agent ", "interval_s": 60}, content_type="application/json")
    assert added.status_code == 201
    assert added.headers["Cache-Control"] == "no-store"
    body = added.json()
    secret = body.pop("secret")
    assert len(secret) >= 40
    assert (body["name"], body["interval_s"], body["sequence"], body["posted_at"]) == (
        "My agent",
        60,
        0,
        None,
    )
    one = f"{AGENTS}{body['id']}/"
    assert api.get(one).json() == body
    assert api.get(AGENTS).json() == {"count": 1, "results": [body]}
    changed = api.patch(one, {"interval_s": 90}, content_type="application/json").json()
    assert changed == {**body, "interval_s": 90}
    agent = PushAgent.objects.get()
    assert text_open(sealed=agent.sealed) == secret
    assert secret not in agent.sealed
    assert (agent.trader.owner, agent.trader.kind, agent.trader.status) == (alice, "push", "paused")
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == api.delete(one).status_code == 404
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "agent.add", "agent.change", "agent.revoke",
    ]  # fmt: skip
    assert secret not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "n" * 81}, "name"),
        ({}, "name"),
        ({"name": "x", "interval_s": 9}, "interval_s"),
        ({"name": "x", "interval_s": 86401}, "interval_s"),
        ({"name": "x", "secret": "mine"}, "secret"),
    ],
)
def test_an_agent_that_makes_no_sense_is_refused(api: Client, body: dict[str, Any], field: str) -> None:
    """By its field; nothing is made."""
    answer = api.post(AGENTS, body, content_type="application/json")
    assert list(problem(answer)["errors"]) == [field]
    assert not PushAgent.objects.exists()
    assert not Trader.objects.exists()


def test_agents_are_their_owners_alone(
    made: NewAgent, charlie: User, api_of: Callable[[User], Client]
) -> None:
    """FOL-2: Charlie meets nothing; without a token there is nothing at all."""
    outsider, one = api_of(charlie), f"{AGENTS}{made.agent.public_id}/"
    sealed = PushAgent.objects.get().sealed
    assert outsider.get(AGENTS).json()["count"] == 0
    for answer in (
        outsider.get(one),
        outsider.patch(one, {"name": "x"}, content_type="application/json"),
        outsider.delete(one),
        outsider.post(f"{one}secret/"),
    ):
        assert answer.status_code == 404
    assert Client().get(AGENTS).status_code == Client().post(f"{one}secret/").status_code == 401
    with pytest.raises(NotFound):
        agent_get(user=charlie, agent_id=made.agent.public_id)
    root = User.objects.create_superuser("root@example.com", "a long enough password")
    assert not agents_of(user=root).exists()
    assert PushAgent.objects.get().sealed == sealed


def test_an_agent_that_is_followed_is_not_revoked(made: NewAgent, alice: User, api: Client) -> None:
    """The portfolios are named; afterwards it can be."""
    portfolio = portfolio_make(owner=alice)
    follow = Follow.objects.create(portfolio=portfolio, trader=made.agent.trader, place=1, hue=1)
    one = f"{AGENTS}{made.agent.public_id}/"
    refused = api.delete(one)
    assert refused.status_code == 400
    assert portfolio.name in problem(refused)["detail"]
    assert PushAgent.objects.get().sealed != ""
    Follow.objects.filter(pk=follow.pk).update(status=Follow.Status.REMOVED)
    assert api.delete(one).status_code == 204


def test_at_most_ten_agents(alice: User) -> None:
    """A limit on everything."""
    for number in range(MAX_AGENTS):
        agent_register(owner=alice, name=f"a{number}", interval_s=60, via="page", now=utc_now())
    with pytest.raises(InputError, match="10 agents already"):
        agent_register(owner=alice, name="one more", interval_s=60, via="page", now=utc_now())


def test_the_database_holds_what_is_promised(made: NewAgent) -> None:
    """A living agent has a secret, and a post is whole; its secret is rotated with the keys."""
    for broken in ({"sealed": ""}, {"sequence": 1}, {"interval_s": 5}, {"posted_at": datetime.now(tz=UTC)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            PushAgent.objects.update(**broken)
    assert (PushAgent, "sealed") in SEALED_COLUMNS


def test_nothing_of_a_new_agent_is_printed(made: NewAgent) -> None:
    """Its repr may end up anywhere."""
    assert made.secret not in f"{made} {made!r} {made.agent!r}"


@pytest.mark.parametrize(
    ("name", "letters"), [("Grid bot", "GB"), ("grid", "GR"), ("x", "X"), ("a b c", "AB")]
)
def test_a_name_gives_two_letters(name: str, letters: str) -> None:
    """For the tile."""
    assert agent_monogram(name=name) == letters


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("17", 17), ("017", None), ("+1", None), ("1 ", None), ("", None), ("٣", None)],
)
def test_numbers_in_headers_have_one_form(text: str, number: int | None) -> None:
    """Two forms of one number would be two signatures."""
    assert whole_number(text) == number
