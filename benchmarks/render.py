"""How fast the portfolio page draws 10 traders × 50 positions, and a live update, in Chromium (VIEW-1).

Both figures run on the real templates, styles and modules over made-up views, under the site's policy.
The baseline is what a page without keyed updates would do: the same markup through ``innerHTML``.
"""

from __future__ import annotations

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
UPDATES: Final = 30
WARM_UP: Final = 5
SETTLE_MS: Final = 900  # the marks of the update before have been taken off
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-renderer-backgrounding",  # a person looks at the page that is measured
    "--disable-backgrounding-occluded-windows",
]

_FRAMES: Final = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Time from setting the markup to the second animation frame after it, when the first has been painted.
_BASELINE_FULL: Final = f"""async () => {{
  const main = document.getElementById("main"), markup = main.innerHTML;
  main.replaceChildren();
  await {_FRAMES};
  const from = performance.now();
  main.innerHTML = markup;
  await {_FRAMES};
  return performance.now() - from;
}}"""
_PAINTED: Final = """() => new Promise((done) => {
  const took = (name) => performance.getEntriesByName(name)[0]?.duration;
  const look = () => {
    if (took("view-complete")) done([took("view-painted"), took("view-complete")]);
    else requestAnimationFrame(look);
  };
  look();
})"""
_CHANGE: Final = f"""async () => {{
  ensemble.page.change(changes.shift());
  await {_FRAMES};
}}"""
_EMPTIED: Final = f"""async () => {{
  const {{ positions, traders, conflicts, orders, activity }} = ensemble.page;
  for (const {{ list }} of [positions, traders, conflicts, orders, activity]) {{
    list.rows.clear();
    list.parent.replaceChildren();
  }}
  await {_FRAMES};
}}"""
_FULL: Final = f"""async () => {{
  const {{ everything }} = await import("/static/js/state.js");
  ensemble.page.render(everything());
  await {_FRAMES};
}}"""
_BASELINE_UPDATE: Final = f"""async () => {{
  const regions = document.querySelectorAll("#positions, #traders, .kpis");
  for (const region of regions) region.innerHTML = region.innerHTML;
  await {_FRAMES};
}}"""
_NOTHING: Final = f"async () => {{ await {_FRAMES}; }}"


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


def _main_thread_ms(page: Page, script: str, runs: int, before_each: str = "") -> list[float]:
    """CPU milliseconds of the page's main thread in each run: script, style, layout, paint, two frames.

    Thread time, so that what else runs on the machine does not count; less what an empty run costs.
    """
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(float(entry["value"]) for entry in metrics if entry["name"] == "TaskDuration")

    def run(code: str) -> float:
        if code == script and before_each:
            page.evaluate(before_each)
        page.wait_for_timeout(SETTLE_MS)
        before = spent()
        page.evaluate(code)
        return spent() - before

    empty = median(run(_NOTHING) for _ in range(5))
    return [max(0.0, run(script) - empty) for _ in range(runs)]


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
    """From the parsed view to painted on freshly opened pages, which only a quiet machine can show: the first
    screen, and everything below it too; beside them the main thread's own time for all of it."""
    with _pages() as (context, server):
        times, complete, baselines = [], [], []
        for _ in range(LOADS):
            page = _open(context, server)
            painted, whole = page.evaluate(_PAINTED)
            times.append(float(painted))
            complete.append(float(whole))
            baselines.append(float(page.evaluate(_BASELINE_FULL)))
            page.close()
        page = _open(context, server)
        thread = _main_thread_ms(page, _FULL, 8, before_each=_EMPTIED)[1:]
    return [
        _figure("render_full_10x50", median(times), median(baselines), 100),
        _figure("render_full_10x50_below_fold", median(complete), median(baselines), 200),
        _figure("render_full_10x50_main_thread", median(thread), median(baselines), 100),
    ]


def render_update() -> list[dict[str, Any]]:
    """Main-thread time of a change that touches 20 positions, the key figures and every trader."""
    from tests.journeys.fixture_view import change_make

    with _pages() as (context, server):
        page = _open(context, server)
        changes = [
            change_make(view=server.view, count=TOUCHED, seed=seed) for seed in range(UPDATES + WARM_UP)
        ]
        for change in changes:
            del change["set"]["curve"]  # the curve is drawn by itself, at most once a second
        page.evaluate("(changes) => { globalThis.changes = changes; }", changes)
        times = _main_thread_ms(page, _CHANGE, UPDATES + WARM_UP)[WARM_UP:]
        baselines = _main_thread_ms(page, _BASELINE_UPDATE, 10)[3:]
    p95 = sorted(times)[int(len(times) * 0.95)]
    return [
        _figure("render_update", median(times), median(baselines), 16),
        _figure("render_update_p95", p95, max(baselines), 16),
    ]


FIGURES = {"render_full_10x50": render_full_10x50, "render_update": render_update}
