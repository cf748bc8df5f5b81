"""How fast the portfolio page draws 10 traders × 50 positions, and a live update, in a real Chromium (VIEW-1).

Both figures run on the real templates, styles and modules over made-up views, under the site's content policy.
The baseline is what a page without keyed updates would do: the same markup through ``innerHTML``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

TRADERS: Final = 10
POSITIONS: Final = 50
TOUCHED: Final = 20
LOADS: Final = 7
UPDATES: Final = 40
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Time from setting the markup to the second animation frame after it, when the first has been painted.
_BASELINE_FULL: Final = """async () => {
  const main = document.getElementById("main"), markup = main.innerHTML;
  main.replaceChildren();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const from = performance.now();
  main.innerHTML = markup;
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - from))));
}"""
_PAINTED: Final = """() => new Promise((done) => {
  const look = () => {
    const [entry] = performance.getEntriesByName("view-painted");
    if (entry) done(entry.duration);
    else requestAnimationFrame(look);
  };
  look();
})"""
_CHANGE: Final = """async (change) => {
  ensemble.page.change(change);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
_REGIONS: Final = ["positions", "traders", "main > .kpis"]
_BASELINE_UPDATE: Final = """async () => {
  for (const region of [document.getElementById("positions"), document.getElementById("traders"), document.querySelector(".kpis")]) {
    region.innerHTML = region.innerHTML.replace(/data-flash="[a-z-]+"/g, "");
  }
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


@contextmanager
def _pages() -> Iterator[tuple[Any, Any]]:
    """A Chromium context and the server of a big view."""
    from tests.journeys.fixture_server import FixtureServer, view_now

    server = FixtureServer(view=view_now(traders=TRADERS, positions=POSITIONS)).start()
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            yield browser.new_context(viewport={"width": 1440, "height": 900}), server
            browser.close()
    finally:
        server.stop()


def _open(context: Any, server: Any) -> Page:
    page = context.new_page()
    page.goto(f"{server.url}/portfolios/1/", wait_until="load")
    page.wait_for_selector(f"#positions > tr:nth-child({POSITIONS})")
    page.wait_for_selector("#equity-panel[data-state=chart]")
    return page


def _main_thread_ms(page: Page, script: str, arguments: list[Any]) -> list[float]:
    """Main-thread milliseconds of each run: script, style, layout, paint, until the second frame after it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def spent() -> float:
        metrics = {
            entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]
        }
        return 1000 * float(metrics["TaskDuration"])

    times = []
    for argument in arguments:
        before = spent()
        page.evaluate(script, argument)
        times.append(spent() - before)
        page.wait_for_timeout(50)
    return times


def _figure(name: str, value: float, baseline: float, goal: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": "ms",
        "baseline": round(baseline, 2),
        "goal": f"< {goal:g}",
        "holds": value < goal,
    }


def render_full_10x50() -> list[dict[str, Any]]:
    """From the parsed view to painted, on freshly opened pages, nothing compiled or cached in the renderer."""
    with _pages() as (context, server):
        times, baselines = [], []
        for _ in range(LOADS):
            page = _open(context, server)
            times.append(float(page.evaluate(_PAINTED)))
            baselines.append(float(page.evaluate(_BASELINE_FULL)))
            page.close()
    return [
        _figure("render_full_10x50", median(times), median(baselines), 100),
        _figure("render_full_10x50_worst", max(times), max(baselines), 100),
    ]


def render_update() -> list[dict[str, Any]]:
    """Main-thread time of a change that touches 20 positions, the key figures, the curve and every trader."""
    from tests.journeys.fixture_view import change_make

    with _pages() as (context, server):
        page = _open(context, server)
        changes = [change_make(view=server.view, count=TOUCHED, seed=seed) for seed in range(UPDATES + 5)]
        for number, change in enumerate(changes):
            change["set"]["curve"] = json.loads(
                json.dumps(change["set"]["curve"]).replace(":12:", f":{12 + number % 40:02d}:")
            )
        times = _main_thread_ms(page, _CHANGE, changes)[5:]
        baselines = _main_thread_ms(page, _BASELINE_UPDATE, [None] * 15)[5:]
    worst = sorted(times)[int(len(times) * 0.95)]
    return [
        _figure("render_update", median(times), median(baselines), 16),
        _figure("render_update_p95", worst, max(baselines), 16),
    ]


FIGURES = {"render_full_10x50": render_full_10x50, "render_update": render_update}
