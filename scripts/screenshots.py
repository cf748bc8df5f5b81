"""Picture every page in both themes, on a desk and on a phone, and say what looks wrong.

    python scripts/screenshots.py <address of the site> <e-mail> <password> out/ [part of a page's name]

Reported: page errors, refused content, pages that scroll sideways, text cut off, targets below 24 px.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
LOOK = """() => {
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


def pages_of(page: Page, base: str) -> dict[str, str]:
    """Addresses to picture, by name, for whoever is signed in."""
    page.goto(base)
    portfolio = page.url.rstrip("/")
    preview = f"{portfolio}/traders/add/"
    return {
        "portfolio": f"{portfolio}/",
        "position": _first_position(page, f"{portfolio}/"),
        "traders": f"{portfolio}/traders/",
        "trader-add": preview,
        "trader-preview": f"{preview}?kind=replay&key=qwen3-max",
        "trader-invalid": f"{preview}?kind=hyperliquid&key=0x12",
        "conflicts": f"{portfolio}/conflicts/",
        "risk": f"{portfolio}/risk/",
        "orders": f"{portfolio}/orders/",
        "order": _newest_order(page, f"{portfolio}/orders/?state=filled"),
        "closed": f"{portfolio}/orders/closed/",
        "ledger": f"{portfolio}/orders/ledger/",
        "money": f"{portfolio}/money/",
        "live": f"{portfolio}/live/",
        "settings": f"{portfolio}/settings/",
        "portfolio-new": f"{base}/portfolios/new/",
        "password": f"{base}/accounts/password/change/",
        "missing": f"{base}/portfolios/999999999/",
    }


def _newest_order(page: Page, address: str) -> str:
    """Address of the newest order of a list; the list itself when it is empty."""
    page.goto(address)
    link = page.locator("[id^=order-link-]").first
    return f"{page.url.split('/portfolios/')[0]}{link.get_attribute('href')}" if link.count() else address


def _first_position(page: Page, address: str) -> str:
    """Address of the largest open position; the portfolio itself when nothing is open."""
    page.goto(address)
    link = page.locator("#positions [data-slot=code][href]").first
    return f"{page.url.split('/portfolios/')[0]}{link.get_attribute('href')}" if link.count() else address


def sign_in(context: BrowserContext, base: str, email: str, password: str) -> Page:
    """Sign in and return the page."""
    page = context.new_page()
    page.goto(f"{base}/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/accounts/" not in url)
    return page


def picture(page: Page, address: str, target: Path) -> None:
    """Open an address, report, save a picture of the whole page."""
    page.goto(address, wait_until="load")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(1200)
    size = page.viewport_size or {"width": 1440, "height": 900}
    page.set_viewport_size(
        {"width": size["width"], "height": min(8000, page.evaluate("document.body.scrollHeight"))}
    )
    page.wait_for_timeout(300)
    for note in page.evaluate(LOOK):
        print(f"{target.name}: {note}")
    page.screenshot(path=target, full_page=True)
    page.set_viewport_size(size)


def _watched(context: BrowserContext, name: str) -> None:
    """Print what goes wrong on the context's pages."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            print(f"{name}: {message.text}")

    def on_page(page: Page) -> None:
        page.on("pageerror", lambda error: print(f"{name}: {error}"))
        page.on("console", on_console)

    context.on("page", on_page)


def run(browser: Browser, base: str, email: str, password: str, out: Path, only: str) -> None:
    """Picture all pages in all variants."""
    signed_out = {
        "signin": "/accounts/login/",
        "signup": "/accounts/signup/",
        "reset": "/accounts/password/reset/",
    }
    for theme in ("light", "dark"):
        for device, options in (("", DESK), ("-phone", PHONE)):
            context = browser.new_context(**options, color_scheme=theme, reduced_motion="reduce")
            _watched(context, f"{theme}{device}")
            page = context.new_page()
            for name, path in signed_out.items():
                if only in name:
                    picture(page, base + path, out / f"{name}{device}-{theme}.png")
            page = sign_in(context, base, email, password)
            for name, address in pages_of(page, base).items():
                if only in name:
                    picture(page, address, out / f"{name}{device}-{theme}.png")
            context.close()


def main() -> None:
    """Read the arguments and go."""
    base, email, password, out = sys.argv[1:5]
    only = sys.argv[5] if len(sys.argv) > 5 else ""
    Path(out).mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        run(browser, base.rstrip("/"), email, password, Path(out), only)
        browser.close()


if __name__ == "__main__":
    main()
