"""CAP-3: the Python client against the running server, and the package as others install it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal as D
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from accounts.models import Portfolio, User
from allocation.models import Reservation as Stored
from core.clock import utc_now
from engine.models import CycleState
from ensemble_client import (
    CapitalDenied,
    Client,
    Conflict,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    Priority,
    ServerFault,
    Status,
    Unavailable,
)
from ensemble_client import client as module
from execution.models import Order
from markets.models import LIVE
from markets.services import world_ensure
from positions.audit import books_audit
from tests.conftest import CAST_PASSWORD
from tests.integration.money.desk import Desk, desk_open
from tests.running import TestProcesses, free_port
from tests.tokens import token_of

ROOT = Path(__file__).resolve().parents[2]
slow = pytest.mark.slow


@pytest.fixture
def desk(transactional_db: None, alice: User) -> Desk:
    """Alice's portfolio with 10,000 and prices of this moment."""
    opened = desk_open()
    opened.now = utc_now()
    opened.world = world_ensure(name=LIVE, now=opened.now)
    Portfolio.objects.filter(pk=opened.pk).update(risk_profile="aggressive", world=LIVE)
    CycleState.objects.create(portfolio=opened.portfolio)
    opened.mark("100000")
    return opened


def client_of(base: str, user: User) -> Client:
    token = token_of(user)
    return Client(base, token=token)


@slow
def test_a_grant_is_held_used_and_given_back(desk: Desk, alice: User, processes: TestProcesses) -> None:
    """CAP-1, CAP-3: the whole way on the real server, told apart by what the block does."""
    base, _ = processes.web()
    client = Client(base, token=Client.sign_in(base, email=alice.email, password=CAST_PASSWORD))
    assert client.capital(desk.pk).free == 10000

    with client.reserve(desk.pk, instrument="BTC", amount="4000.5", priority=Priority.HIGH) as grant:
        assert grant.reservation.status is Status.GRANTED
        seen = client.capital(desk.pk)
        assert (seen.free, seen.reserved, seen.allocated) == (D("5999.5"), D("4000.5"), D("4000.5"))
        assert (seen.granted_count, seen.granted_amount) == (1, D("4000.5"))
    assert grant.reservation.status is Status.RELEASED
    assert client.capital(desk.pk).free == 10000

    with pytest.raises(ZeroDivisionError), client.reserve(desk.pk, instrument="BTC", amount=4000) as grant:
        raise ZeroDivisionError
    assert grant.reservation.status is Status.RELEASED, "an error gives it back, too"

    with client.reserve(desk.pk, instrument="BTC", amount=1500, source="momentum") as grant:
        with pytest.raises(InvalidRequest, match=r"\$1,500.00 is reserved") as refused:
            grant.use(side="BUY", quantity="0.04", limit_price=100100)
        assert list(refused.value.fields) == ["quantity"]
        order = grant.use(side="BUY", quantity=D("0.010"), limit_price=100100)
        assert grant.use(side="BUY", quantity=D("0.01"), limit_price=100100) == order
        with pytest.raises(Conflict, match="was used for BUY"):
            grant.use(side="BUY", quantity=D("0.02"), limit_price=100100)
    assert (grant.reservation.status, grant.reservation.order_id) == (Status.USED, order.id)
    stored = Order.objects.get()
    assert (stored.pk, stored.origin, stored.quantity, stored.committed) == (
        order.id,
        "outside",
        D("0.01"),
        1500,
    )
    assert (order.instrument, order.side, order.limit_price) == ("BTC", "BUY", 100100)
    with pytest.raises(Conflict, match="cancel the order"):
        client.release(desk.pk, grant.reservation.id)
    assert books_audit() == []
    with urllib.request.urlopen(f"{base}/metrics", timeout=10) as scraped:  # noqa: S310 - our own
        series = scraped.read().decode()
    assert 'portfolio_capital_requests_total{priority="medium",strategy="momentum"} 1.0' in series
    assert 'portfolio_capital_allocations_total{strategy="outside"} 2.0' in series
    assert 'portfolio_capital_releases_total{strategy="outside"} 2.0' in series
    assert f'portfolio_available_capital{{portfolio="{desk.pk}"}} 8500.0' in series


@slow
def test_waiting_denied_and_refused(desk: Desk, alice: User, charlie: User, processes: TestProcesses) -> None:
    """CAP-1, CAP-3, SEC-1: the queue is waited for; what does not come or is not theirs is a typed error."""
    base, _ = processes.web()
    client = client_of(base, alice)

    first = client.request(desk.pk, instrument="BTC", amount=9000)
    held: list[Any] = []

    def wait_for_it() -> None:
        with client.reserve(desk.pk, instrument="BTC", amount=5000, wait_s=30) as grant:
            held.append((grant.reservation.status, client.capital(desk.pk).reserved))

    waiting = Thread(target=wait_for_it)
    waiting.start()
    while client.capital(desk.pk).waiting_count == 0:
        time.sleep(0.05)
    client.release(desk.pk, first.id)
    waiting.join(20)
    assert held == [(Status.GRANTED, 5000)]

    too_much = client.reserve(desk.pk, instrument="BTC", amount=10001)
    with pytest.raises(CapitalDenied, match=r"needed, \$10,000.00 free") as denied, too_much:
        pytest.fail("nothing was granted")
    assert denied.value.reservation.status is Status.DENIED

    once = client.request(desk.pk, instrument="BTC", amount=100, key="mine")
    assert client.request(desk.pk, instrument="BTC", amount=100, key="mine").id == once.id
    client.release(desk.pk, once.id)

    for wrong in ({"amount": "0"}, {"wait_s": 999}, {"source": "copy cycle"}, {"instrument": "NOPE"}):
        with pytest.raises(InvalidRequest) as refused:
            client.request(desk.pk, **{"instrument": "BTC", "amount": 1, **wrong})  # type: ignore[arg-type]
        assert list(refused.value.fields) == list(wrong)
    with pytest.raises(TypeError, match="not float"):
        client.request(desk.pk, instrument="BTC", amount=0.1)  # type: ignore[arg-type]

    stranger = client_of(base, charlie)
    for attempt in (
        lambda: stranger.capital(desk.pk),
        lambda: stranger.request(desk.pk, instrument="BTC", amount=1),
        lambda: stranger.reservation(desk.pk, first.id),
        lambda: stranger.release(desk.pk, first.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(NotSignedIn):
        Client(base, token="f" * 64).capital(desk.pk)
    assert Stored.objects.filter(status="granted").count() == 0


@slow
def test_many_programs_share_one_portfolio(desk: Desk, alice: User, processes: TestProcesses) -> None:
    """CAP-2, CAP-3: twelve at once want 2,500 each of 10,000; each gets it in turn, never more than four."""
    base, _ = processes.web()
    client = client_of(base, alice)
    most: list[int] = []

    def one(number: int) -> Status:
        with client.reserve(
            desk.pk, instrument="BTC", amount=2500, source=f"bot {number}", wait_s=60
        ) as grant:
            most.append(client.capital(desk.pk).granted_count)
            return grant.reservation.status

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(one, range(12))) == [Status.GRANTED] * 12
    assert max(most) <= 4
    account = desk.account
    assert (account.free, account.reserved) == (10000, 0)
    assert books_audit() == []


# ---------------------------------------------------------------- a server that misbehaves
@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """An address whose server gives the answers put into the list, one a connection, then hangs up."""
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    wire, _ = listener.accept()
                except OSError:
                    return
                with wire:
                    wire.recv(65536)
                    if answers:
                        wire.sendall(answers.pop(0))

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", answers
        listener.shutdown(socket.SHUT_RDWR)


def http(status: str, body: str, *, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


CAPITAL = (
    '{"total": "1", "allocated": "0", "cash": "1", "free": "1", "reserved": "0", "committed": "0", '
    '"deployed": "0", "deficit": "0", "granted": {"count": 0, "amount": "0"}, '
    '"waiting": {"count": 0, "amount": "0"}}'
)


def test_a_lost_answer_is_asked_for_again(scripted: tuple[str, list[bytes]]) -> None:
    """CAP-3: half an answer, then "try again", then the answer."""
    base, answers = scripted
    answers += [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf",
        http("503 Busy", '{"detail": "Try again"}', headers="Retry-After: 0\r\n"),
        http("200 OK", CAPITAL),
    ]
    assert Client(base, token="t").capital(1).total == 1
    assert answers == []


def test_a_server_that_never_answers_is_unavailable(scripted: tuple[str, list[bytes]]) -> None:
    """CAP-3: nobody listens, or they hang up each time."""
    base, _ = scripted
    with pytest.raises(Unavailable, match="does not answer"):
        Client(base, token="t").capital(1)
    with pytest.raises(Unavailable):
        Client(f"http://127.0.0.1:{free_port()}", token="t", timeout_s=1).capital(1)


def test_what_is_no_answer_of_ours_is_a_fault(scripted: tuple[str, list[bytes]]) -> None:
    """CAP-3: a page of a proxy, a redirect (the token must not follow it), a fault."""
    base, answers = scripted
    for reply in (
        http("200 OK", "<html>"),
        http("302 Found", "", headers="Location: http://127.0.0.1:1/\r\n"),
        http("500 Oops", '{"detail": "The fault is ours"}'),
    ):
        answers.append(reply)
        with pytest.raises(ServerFault):
            Client(base, token="t").capital(1)
        assert answers == []


@pytest.mark.parametrize("base", ["localhost:8000", "ftp://localhost", "", "https://"])
def test_an_address_that_is_none(base: str) -> None:
    """CAP-3: told at once."""
    with pytest.raises(ValueError, match="must begin with http"):
        Client(base, token="t")


def test_the_token_is_not_shown() -> None:
    """SEC-1: not by printing the client."""
    assert "secret" not in repr(Client("http://localhost", token="secret"))


@slow
def test_the_package_is_installed_and_imported_without_anything_else(tmp_path: Path) -> None:
    """CAP-3: pip builds and installs it offline; typed; only the standard library below it."""
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(ROOT / "clients" / "python", source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    assert (target / "ensemble_client" / "py.typed").is_file()
    program = (
        "import sys, ensemble_client; from importlib.metadata import version; "
        "assert not {'django', 'httpx', 'requests'} & set(sys.modules); "
        "print(ensemble_client.__file__, version('ensemble-client'))"
    )
    told = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(target), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told.split() == [str(target / "ensemble_client" / "__init__.py"), "0.1.0"]
