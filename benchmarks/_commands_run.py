"""The measuring process of `benchmarks.commands`: `python -m benchmarks._commands_run DIR` prints JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final

from benchmarks._demo_site import DIRECTORY, people_make, programs, quantile, services

LOGS: Final = DIRECTORY / "log"  # Django is set up from here on

from django.db import connection  # noqa: E402

from accounts.models import Portfolio  # noqa: E402
from core.clock import utc_now  # noqa: E402
from engine.models import Command  # noqa: E402
from portfolio_site.supervisor import procfile_specs  # noqa: E402
from positions.models import Position  # noqa: E402
from tests.running import free_port, http_status, wait_until  # noqa: E402
from tests.tokens import token_of  # noqa: E402
from traders.models import Trader  # noqa: E402
from traders.services import trader_wake  # noqa: E402

CLIENTS: Final = 4
COMMANDS: Final = 200  # of all clients together
WARM_UP: Final = 3  # of each client, not counted
PAUSE_S: Final = 0.5  # between two commands of one client: a person in a hurry
SYNC_EVERY_S: Final = 0.1


@contextmanager
def sync_busy() -> Iterator[None]:
    """Have every trader read again ten times a second, so that the sync is never idle."""
    over = threading.Event()

    def wake() -> None:
        ids = list(Trader.objects.values_list("pk", flat=True))
        while not over.wait(SYNC_EVERY_S):
            trader_wake(trader_ids=ids, now=utc_now())
        connection.close()

    waking = threading.Thread(target=wake)
    waking.start()
    try:
        yield
    finally:
        over.set()
        waking.join()


def asking(port: int, token: str, portfolio: int, number: int) -> tuple[list[float], list[float]]:
    """Be one client: ask for an empty list, then for a command, and so on; return how long each took (ms)."""
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    here, link = f"/api/v1/portfolios/{portfolio}/commands/", HTTPConnection("127.0.0.1", port, timeout=30)
    empty: list[float] = []
    accepted: list[float] = []
    for turn in range(WARM_UP + COMMANDS // CLIENTS):
        empty.append(took_ms(link, "GET", f"{here}?status=failed", headers, None, 200))
        body = json.dumps({"kind": "mode", "data": {"trading_mode": ("multi", "hybrid")[turn % 2]}})
        key = {"Idempotency-Key": f"{number}-{turn}"}
        accepted.append(took_ms(link, "POST", here, headers | key, body, 202))
        time.sleep(PAUSE_S)
    link.close()
    return empty[WARM_UP:], accepted[WARM_UP:]


def took_ms(
    link: HTTPConnection, method: str, path: str, headers: dict[str, str], body: str | None, status: int
) -> float:
    """Send one request, read the answer whole, and return how long that took."""
    started = time.perf_counter()
    link.request(method, path, body=body, headers=headers)
    answer = link.getresponse()
    told = answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != status:
        raise RuntimeError(f"{method} {path} was answered with {answer.status}: {told[:300]!r}")
    return took


def measure() -> dict[str, Any]:
    """Run the site, the busy sync and the clients."""
    user, portfolios = people_make()
    token = token_of(user)
    port = free_port()
    paces = {"API_PERSON_PER_MINUTE": "1000000", "API_TOKEN_PER_MINUTE": "1000000"}
    site = procfile_specs(log_dir=LOGS, values={"HOST": "127.0.0.1", "PORT": str(port), **paces})
    with programs(site):
        wait_until(
            lambda: http_status(f"http://127.0.0.1:{port}/readyz") == 200, timeout_s=60, what="the site"
        )
        wait_until(Position.objects.filter(portfolio=portfolios[0]).exists, timeout_s=60, what="a position")
        with sync_busy(), ThreadPoolExecutor(CLIENTS) as pool:
            clients = [
                pool.submit(asking, port, token, own.pk, number) for number, own in enumerate(portfolios)
            ]
            took = [client.result() for client in clients]
            wait_until(ended_all, timeout_s=60, what="the end of all commands")
    empty = sorted(ms for one, _ in took for ms in one)
    accepted = sorted(ms for _, one in took for ms in one)
    done = sorted(
        (command.finished_at - command.accepted_at).total_seconds() * 1000
        for command in Command.objects.filter(status="done")
        if command.finished_at
    )
    return {
        "commands": len(accepted),
        "accept": [quantile(accepted, share) for share in (0.5, 0.99)],
        "empty": [quantile(empty, share) for share in (0.5, 0.99)],
        "done": [quantile(done, share) for share in (0.5, 0.99)],
    }


def ended_all() -> bool:
    """Tell whether every command came to its end, as it should."""
    left = Command.objects.exclude(status="done")
    return Portfolio.objects.exists() and not left.exists()


def main() -> None:
    """Measure and print."""
    with services():
        print(json.dumps(measure()))


if __name__ == "__main__":
    main()
