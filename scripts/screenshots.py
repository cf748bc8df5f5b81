"""Picture every page and dialog: both themes, a desk and a phone, every language; say what looks wrong.

    python scripts/screenshots.py                        starts a site of its own, writes docs/screenshots/
    python scripts/screenshots.py --only position --out /tmp/look
    python scripts/screenshots.py --site http://127.0.0.1:8000 --password … --languages en

A site of its own starts the demo from the beginning of its recordings and is pictured when the first
positions have been closed, so pictures of two runs show the same hours. Reported: page errors, refused
content, pages that scroll sideways, text cut off, targets below 24 px.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright  # noqa: E402

django.setup()  # the catalogue reads the URL conf

from tests.journeys.catalogue import MISSING, PAGES, Shown, places_find  # noqa: E402
from tests.journeys.whole_site import whole_site  # noqa: E402

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
WIDTHS: Final[dict[str, dict[str, Any]]] = {
    "1440": {"viewport": {"width": 1440, "height": 900}},
    "390": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
TALLEST_PX: Final = 2600  # what lies further down looks like what is above it
COLOURS: Final = 64  # of a picture's palette: text stays sharp, and a picture takes a quarter
RIPE_TIMEOUT_S: Final = 600
LOOK: Final = """() => {
  const found = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push(`scrolls sideways: ${document.documentElement.scrollWidth} > ${wide}`);
  const skipped = "dialog:not([open]), .vh, .sprite, .chart, .candles, [popover], .as-cards thead";
  for (const node of document.querySelectorAll("body *")) {
    if (node.closest(skipped) || node.matches(".stack-v") || !(node instanceof HTMLElement) || !node.checkVisibility()) continue;
    const style = getComputedStyle(node), label = `${node.tagName.toLowerCase()}.${node.className} "${node.textContent.trim().slice(0, 40)}"`;
    const cut = node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 && style.display !== "inline";
    if (cut && !["auto", "scroll"].includes(style.overflowX) && !node.matches("input, textarea, select, body, .table-grid *")) found.push(`cut off: ${label}`);
    const box = node.getBoundingClientRect(), target = node.matches("a, button, select") && style.display !== "inline";
    if (target && box.width && (box.width < 24 || box.height < 24)) found.push(`small target ${Math.round(box.width)}x${Math.round(box.height)}: ${label}`);
  }
  return [...new Set(found)];
}"""  # noqa: E501


def say(words: str) -> None:
    """Tell whoever runs this."""
    print(words, flush=True)


def ripen(page: Page, portfolio: str) -> None:
    """Wait until a position has been closed and others are open."""
    began = time.monotonic()
    while time.monotonic() - began < RIPE_TIMEOUT_S:
        page.goto(f"{portfolio}orders/closed/")
        if page.locator("main tbody tr").count():
            return
        time.sleep(3)
    raise RuntimeError("no position was closed in time; see the logs of the site")


# ---------------------------------------------------------------- the pictures
def sign_in(context: BrowserContext, base: str, email: str, password: str) -> Page:
    """Sign in and return the page."""
    page = context.new_page()
    page.goto(f"{base}/accounts/login/")
    page.locator("input[name=login]").fill(email)
    page.locator("input[name=password]").fill(password)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(lambda url: "/accounts/" not in url)
    return page


def open_shown(page: Page, base: str, shown: Shown, places: dict[str, str]) -> bool:
    """Go to a page of the catalogue and open what its line opens; False where there is nothing to show."""
    address = shown.address.format(**places)
    if not address:
        say(f"{shown.name}: nothing to show")
        return False
    page.goto(base + address, wait_until="load")
    page.wait_for_selector(shown.ready, state="attached")
    for selector in shown.opens:
        page.locator(selector).first.click()
    page.evaluate("document.fonts.ready")
    if page.locator("#equity-panel, [data-chart]").count():
        page.wait_for_selector(
            "#equity-panel:not([data-state=loading]), [data-chart]:not([hidden])", state="attached"
        )
    return True


def picture(page: Page, target: Path, *, theme: str) -> None:
    """Save a picture of the page in a theme, down to :data:`TALLEST_PX`, in few colours."""
    page.evaluate(
        """(theme) => {
          document.documentElement.dataset.theme = theme;
          document.dispatchEvent(new Event("themechange"));
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        theme,
    )
    size = page.viewport_size or {"width": 1440, "height": 900}
    floats = page.locator("dialog[open], [popover]:popover-open").count()
    tall = size["height"] if floats else page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({**size, "height": min(TALLEST_PX, max(size["height"], tall))})
    page.wait_for_timeout(150)  # charts follow a new size in their own frame
    image = Image.open(io.BytesIO(page.screenshot()))
    target.parent.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    page.set_viewport_size(size)


def watch(context: BrowserContext, name: str) -> None:
    """Print what goes wrong on the context's pages, but not what was refused on purpose."""

    def on_console(line: ConsoleMessage) -> None:
        if line.type == "error" and "status of 40" not in line.text:
            say(f"{name}: {line.text}")

    def on_page(page: Page) -> None:
        page.on("pageerror", lambda error: say(f"{name}: {error}"))
        page.on("console", on_console)

    context.on("page", on_page)


def run(browser: Browser, site: tuple[str, str, str], *, out: Path, only: str, languages: list[str]) -> int:
    """Picture all pages in all variants; return how many."""
    base, email, password = site
    first = sign_in(browser.new_context(), base, email, password)
    ripen(first, first.url)
    places = places_find(first, base)
    first.context.close()
    made = 0
    for language in languages:
        for width, options in WIDTHS.items():
            context = browser.new_context(**options, locale=language, reduced_motion="reduce")
            context.add_cookies([{"name": "django_language", "value": language, "url": base}])
            watch(context, f"{language} {width}")
            stranger, person = context.new_page(), None
            for shown in (*PAGES, MISSING):
                if only not in shown.name:
                    continue
                if shown.signed_in and person is None:
                    person = sign_in(context, base, email, password)
                page = person if shown.signed_in and person else stranger
                if not open_shown(page, base, shown, places):
                    continue
                for note in page.evaluate(LOOK):
                    say(f"{language} {width} {shown.name}: {note}")
                for theme in ("light", "dark"):
                    picture(page, out / language / f"{shown.name}-{width}-{theme}.png", theme=theme)
                    made += 1
            context.close()
    return made


def main() -> None:
    """Read the arguments and go."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--site", default="", help="address of a running site; without one a site is started")
    parser.add_argument("--email", default="demo@example.com")
    parser.add_argument("--password", default="")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", default="", help="part of a page's name")
    parser.add_argument("--languages", default="en,pl")
    wanted = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        options: dict[str, Any] = {
            "out": wanted.out,
            "only": wanted.only,
            "languages": wanted.languages.split(","),
        }
        if wanted.site:
            made = run(browser, (wanted.site.rstrip("/"), wanted.email, wanted.password), **options)
        else:
            with whole_site() as site:
                made = run(browser, (site.url, site.email, site.password), **options)
        browser.close()
    say(f"{made} pictures in {wanted.out}")


if __name__ == "__main__":
    main()
