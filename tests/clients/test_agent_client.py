"""FOL-3: the agent's Python client against the running server, and what it does while nobody answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from accounts.models import User
from core.clock import utc_now
from ensemble_client import Conflict, InvalidRequest, NotSignedIn, Unavailable
from ensemble_client import agent as module
from ensemble_client.agent import AgentClient, Position
from tests.running import TestProcesses, free_port
from traders.models import PushAgent
from traders.payloads import read_load
from traders.push import NewAgent, agent_register

ROOT = Path(__file__).resolve().parents[2]
slow = pytest.mark.slow
HELD = [Position("BTC", D("0.0500"), "98000", mark_price=97500, opened_at=datetime(2026, 1, 1, tzinfo=UTC))]


@pytest.fixture
def made(transactional_db: None, alice: User) -> NewAgent:
    """Alice's agent."""
    return agent_register(owner=alice, name="Grid bot", interval_s=300, via="page", now=utc_now())


def client_of(base: str, made: NewAgent, **changed: Any) -> AgentClient:
    """Return the agent's client."""
    return AgentClient(base, **{"agent_id": made.agent.public_id, "secret": made.secret, **changed})


@slow
def test_an_agent_posts_to_the_running_server(made: NewAgent, processes: TestProcesses) -> None:
    """The whole way: kept exactly, repeated harmlessly, refused in words, and the example as a program."""
    base, _ = processes.web()
    client = client_of(base, made)
    at = datetime.now(tz=UTC)
    first = client.post(equity=D("10250.10"), positions=HELD, at=at)
    assert first.repeated is False
    made.agent.refresh_from_db()
    read = read_load(made.agent.payload)
    assert (made.agent.sequence, made.agent.at) == (first.sequence, at)
    (position,) = read.positions
    assert (read.equity, position.quantity, position.entry_price) == (D("10250.1"), D("0.05"), 98000)
    assert (position.mark_price, position.opened_at) == (97500, HELD[0].opened_at)
    assert client.post(equity=D("10250.10"), positions=HELD, at=at, sequence=first.sequence).repeated is True
    with pytest.raises(Conflict, match="Use a higher one"):
        client.post(equity=1, positions=[], sequence=first.sequence)
    with pytest.raises(InvalidRequest) as refused:
        client.post(equity=1, positions=[Position("BTC", 0, 5)])
    assert list(refused.value.fields) == ["positions.0.quantity"]
    with pytest.raises(NotSignedIn, match="No agent signed this"):
        client_of(base, made, secret="another").post(equity=1, positions=[])

    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "clients/python/src"),
        "ENSEMBLE_URL": base,
        "ENSEMBLE_AGENT": str(made.agent.public_id),
        "ENSEMBLE_SECRET": made.secret,
    }
    short = {"instrument": "ETH", "quantity": "-2", "entry_price": "3000"}
    line = json.dumps({"equity": "77.5", "positions": [short]}) + "\n"
    done = subprocess.run(
        [sys.executable, str(ROOT / "clients/python/examples/agent.py")],
        input=line, env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("posted 1 positions as ")
    assert done.stderr == ""
    read = read_load(PushAgent.objects.get().payload)
    assert (read.equity, read.quantities()) == (D("77.5"), {"ETH": D(-2)})


# ---------------------------------------------------------------- without a server
class Stub:
    """A server that answers each request with the next of its texts, and keeps what was sent."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self._socket.accept()
            with connection:
                text = b""
                while b"\r\n\r\n" not in text:
                    text += connection.recv(65536)
                head, body = text.split(b"\r\n\r\n", 1)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                while len(body) < length:
                    body += connection.recv(65536)
                self.asked.append((head + b"\r\n\r\n" + body).decode())
                connection.sendall(answer.encode())

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._thread.join(timeout=5)


def _answer(status: str, body: str, more: str = "") -> str:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n{body}"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    yield
    assert all(0 < wait <= module.PAUSE_MAX_S for wait in waits)


def agent_to(base: str) -> AgentClient:
    """Return a client of some agent."""
    return AgentClient(base, agent_id="00000000-0000-4000-8000-000000000001", secret="s3cret", timeout_s=5)


def test_a_lost_answer_is_asked_for_with_the_same_sequence_and_body() -> None:
    """503, a cut connection, 429 with a pause, then the answer: one post, however often it travels."""
    stub = Stub(
        _answer("503 Later", "{}"),
        "",
        _answer("429 Slower", "{}", "Retry-After: 1\r\n"),
        _answer("200 OK", '{"sequence": 9, "repeated": true}'),
    )
    receipt = agent_to(stub.base).post(equity=1, positions=[Position("BTC", 1, 2)], sequence=9)
    stub.close()
    assert (receipt.sequence, receipt.repeated) == (9, True)
    assert len(stub.asked) == 4
    assert len({request.split("\r\n\r\n")[1] for request in stub.asked}) == 1
    assert all("X-Ensemble-Sequence: 9\r\n" in request for request in stub.asked)
    assert all("s3cret" not in request for request in stub.asked)


def test_it_gives_up_in_the_end_and_never_tries_a_refusal_again() -> None:
    """Nobody listening is Unavailable; what the server refuses is refused once."""
    with pytest.raises(Unavailable):
        agent_to(f"http://127.0.0.1:{free_port()}").post(equity=1, positions=[])
    stub = Stub(_answer("409 Conflict", '{"detail": "used"}'))
    with pytest.raises(Conflict, match="used"):
        agent_to(stub.base).post(equity=1, positions=[], sequence=1)
    stub.close()
    assert len(stub.asked) == 1


def test_sequences_rise_by_themselves() -> None:
    """By the clock, and by one where two posts fall into one millisecond."""
    stub = Stub(*[_answer("200 OK", '{"sequence": 1, "repeated": false}')] * 3)
    client = agent_to(stub.base)
    for _ in range(3):
        client.post(equity=1, positions=[])
    stub.close()
    sent = [int(request.split("X-Ensemble-Sequence: ")[1].split("\r\n")[0]) for request in stub.asked]
    assert sent[0] < sent[1] < sent[2]
    assert abs(sent[0] / 1000 - utc_now().timestamp()) < 60


def test_floats_and_times_without_a_zone_are_refused() -> None:
    """0.1 is not 0.1, and noon is not noon."""
    client = agent_to("http://127.0.0.1:1")
    with pytest.raises(TypeError, match="Decimal, int or text"):
        client.post(equity=0.1, positions=[])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.post(equity=1, positions=[Position("BTC", True, 1)])
    with pytest.raises(ValueError, match="names no zone"):
        client.post(equity=1, positions=[], at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="badly formed"):
        AgentClient("http://127.0.0.1:1", agent_id="../portfolios", secret="s")
    assert "s3cret" not in repr(client)
