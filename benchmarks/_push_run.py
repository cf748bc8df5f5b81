"""The measuring process of `benchmarks.push_latency`: `python -m benchmarks._push_run DIR` prints JSON."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks._demo_site import DIRECTORY, people_make, programs, quantile, services

LOGS: Final = DIRECTORY / "log"  # Django is set up from here on

import redis  # noqa: E402
from asgiref.sync import async_to_sync  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from accounts.models import Portfolio  # noqa: E402
from benchmarks._push_echo import GROUP  # noqa: E402
from core.clock import utc_now  # noqa: E402
from engine.decisions import DecisionNote, decision_store  # noqa: E402
from engine.publishing import portfolio_changed, portfolio_group  # noqa: E402
from portfolio_site.processes import ChildSpec  # noqa: E402
from portfolio_site.supervisor import procfile_specs  # noqa: E402
from positions.models import Position  # noqa: E402
from tests.running import free_port, http_status, wait_until  # noqa: E402

SOCKETS: Final = 200
COMMITS: Final = 250
PAUSE_S: Final = (0.25, 0.55)
WARM_UP: Final = 10
ECHOES: Final = 300
MERGED_MS: Final = 240.0  # the merging pause, and what a read may wait before it begins
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
_WATCH: Final = """() => {
  globalThis.painted = {};
  const { on } = ensemble.live, { change } = on;
  on.change = (message) => {
    change(message);
    const texts = Object.values(message.set.activity ?? {}).map((entry) => entry.text);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const at = performance.timeOrigin + performance.now();
      for (const text of texts) painted[text] ??= at;
    }));
  };
}"""


def echoes_ms(port: int) -> list[float]:
    """Return how long bare messages took from sending to a socket, sorted."""
    spec = ChildSpec(
        name="echo",
        argv=[sys.executable, "-m", "uvicorn", "benchmarks._push_echo:application", "--port", str(port)],
        log_path=LOGS / "echo.log",
    )
    took = []
    send = async_to_sync(get_channel_layer().group_send)
    with programs([spec]):
        wait_until(lambda: http_status(f"http://127.0.0.1:{port}/"), what="the echo server")
        with connect(f"ws://127.0.0.1:{port}/") as socket:
            socket.recv(timeout=10)
            for _ in range(ECHOES):
                started = time.perf_counter()
                send(GROUP, {"type": "echo"})
                socket.recv(timeout=10)
                took.append((time.perf_counter() - started) * 1000)
    return sorted(took[WARM_UP:])


@contextmanager
def pokes_heard(portfolio: Portfolio) -> Iterator[list[float]]:
    """When the page of this portfolio is told to look again (epoch ms), heard beside it on Redis."""
    prefix = settings.CHANNEL_LAYERS["default"]["CONFIG"]["prefix"]
    heard: list[float] = []
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as channel:
        channel.subscribe(
            **{
                f"{prefix}__group__{portfolio_group(portfolio.pk)}": lambda _: heard.append(
                    time.time() * 1000
                )
            }
        )
        listening = channel.run_in_thread(sleep_time=0.5, daemon=True)
        yield heard
        listening.stop()
        listening.join()


def commits_make(portfolio: Portfolio, committed_at: dict[str, float]) -> None:
    """Commit decisions at irregular moments, noting when each was committed (epoch ms)."""
    dice = random.Random(7)
    for number in range(COMMITS):
        time.sleep(dice.uniform(*PAUSE_S))
        text = f"Measured {number}"
        with transaction.atomic():
            note = DecisionNote(kind="settings", text=text)
            decision_store(portfolio=portfolio, note=note, now=utc_now())
            transaction.on_commit(lambda text=text: committed_at.__setitem__(text, time.time() * 1000))
            portfolio_changed(portfolio_id=portfolio.pk)
    connection.close()


def latencies_ms(page: Page, portfolio: Portfolio) -> list[float]:
    """Return how long each commit that was a first change took to be painted, sorted."""
    page.evaluate(_WATCH)
    committed_at: dict[str, float] = {}
    committing = threading.Thread(target=commits_make, args=(portfolio, committed_at))
    with pokes_heard(portfolio) as poked_at:
        committing.start()
        while committing.is_alive():
            page.wait_for_timeout(500)
        committing.join()
    all_painted = f"{json.dumps(list(committed_at))}.every((text) => text in painted)"
    wait_until(lambda: page.evaluate(all_painted), what="every commit painted")
    painted_at: dict[str, float] = page.evaluate("painted")
    first = {
        text: at
        for text, at in list(committed_at.items())[WARM_UP:]
        if not any(at - MERGED_MS < poked < at for poked in poked_at)
    }
    if len(first) < COMMITS / 2:
        raise RuntimeError(f"only {len(first)} of {COMMITS} commits were first changes: the site is too busy")
    return sorted(painted_at[text] - at for text, at in first.items())


def measure() -> dict[str, Any]:
    """Run the site, the sockets, the page and the commits."""
    user, portfolios = people_make()
    baseline = echoes_ms(free_port())
    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    session, port = str(client.session.session_key), free_port()
    base, main = f"http://127.0.0.1:{port}", portfolios[0]
    values = {"HOST": "127.0.0.1", "PORT": str(port)}
    site = procfile_specs(log_dir=LOGS, values=values)
    listeners = ChildSpec(
        name="listeners",
        argv=[sys.executable, "-m", "benchmarks._push_listeners", base, session, str(SOCKETS - 1)]
        + [str(portfolio.pk) for portfolio in portfolios],
        log_path=LOGS / "listeners.log",
    )
    with programs(site):
        wait_until(lambda: http_status(f"{base}/readyz") == 200, timeout_s=60, what="the site")
        wait_until(Position.objects.filter(portfolio=main).exists, timeout_s=60, what="a position")
        with programs([listeners]):
            heard = LOGS / "listeners.log"
            wait_until(lambda: "listening" in heard.read_text(), timeout_s=60, what="199 sockets")
            with sync_playwright() as playwright:
                path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
                browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
                page = context.new_page()
                page.goto(f"{base}/portfolios/{main.pk}/")
                wait_until(lambda: page.evaluate("globalThis.ensemble?.live?.epoch"), what="a live page")
                took = latencies_ms(page, main)
                browser.close()
            if "lost" in heard.read_text():
                raise RuntimeError(f"sockets were lost while measuring: {heard.read_text()[-500:]}")
    return {
        "sockets": SOCKETS,
        "p50": quantile(took, 0.5),
        "p99": quantile(took, 0.99),
        "worst": took[-1],
        "counted": len(took),
        "baseline_p50": quantile(baseline, 0.5),
        "baseline_p99": quantile(baseline, 0.99),
    }


def main() -> None:
    """Measure and print."""
    with services():
        print(json.dumps(measure()))


if __name__ == "__main__":
    main()
