"""Every page a person can open, with its dialogs: what is pictured and what is tried for accessibility.

A route of a page that has no line here fails `tests/house/test_catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

PORTFOLIO: Final = "/portfolios/{portfolio}/"
EMPTY: Final = "/portfolios/{empty}/"


@dataclass(frozen=True, slots=True)
class Shown:
    """One page in one state.

    :param name: of the picture, unique
    :param route: the name of its address in the URL conf
    :param address: path and query; what stands in braces is found by :func:`places_find`
    :param opens: selectors pressed one after the other, to open a dialog, a menu or a part
    :param signed_in: False for what a stranger sees
    :param ready: a selector that is there when the page has drawn itself
    """

    name: str
    route: str
    address: str
    opens: tuple[str, ...] = ()
    signed_in: bool = True
    ready: str = "main"


def _live(name: str, route: str, address: str, *opens: str) -> Shown:
    """A page that draws itself in the browser and is live when it is ready."""
    return Shown(name, f"dashboard:{route}", address, opens, ready="#connection[data-state=live]")


def _plain(name: str, route: str, address: str, *opens: str) -> Shown:
    return Shown(name, f"dashboard:{route}", address, opens)


def _sign(name: str, route: str, address: str, *, signed_in: bool = False) -> Shown:
    return Shown(name, route, address, signed_in=signed_in)


PAGES: Final = (
    # ------------------------------------------------ before signing in
    _sign("signin", "account_login", "/accounts/login/"),
    _sign("signup", "account_signup", "/accounts/signup/"),
    _sign("reset", "account_reset_password", "/accounts/password/reset/"),
    _sign("reset-sent", "account_reset_password_done", "/accounts/password/reset/done/"),
    _sign(
        "reset-bad-link", "account_reset_password_from_key", "/accounts/password/reset/key/1-set-password/"
    ),
    _sign("reset-done", "account_reset_password_from_key_done", "/accounts/password/reset/key/done/"),
    _sign("inactive", "account_inactive", "/accounts/inactive/"),
    _sign("verification-sent", "account_email_verification_sent", "/accounts/confirm-email/"),
    _sign("verification-bad-link", "account_confirm_email", "/accounts/confirm-email/none/"),
    # ------------------------------------------------ the portfolio
    _live("portfolio", "portfolio", PORTFOLIO),
    _live("portfolio-menu", "portfolio", PORTFOLIO, "[popovertarget=account-menu]:visible"),
    _live("emergency-stop", "portfolio", PORTFOLIO, "[data-ask=emergency_stop]"),
    _live("close-position", "portfolio", PORTFOLIO, "#positions [data-ask=close] >> nth=0"),
    _live("edit-exits", "portfolio", PORTFOLIO, "#positions [data-ask=exits] >> nth=0"),
    _live("limit-entry", "portfolio", PORTFOLIO, "[data-ask=entry]"),
    _live("position", "position", "{position}"),
    _plain("portfolio-start", "portfolio", EMPTY),
    _plain("portfolio-new", "portfolio_new", "/portfolios/new/"),
    _plain("imports", "imports", "/portfolios/import/"),
    # ------------------------------------------------ traders
    _live("traders", "traders", f"{PORTFOLIO}traders/"),
    _live("traders-split", "traders", f"{PORTFOLIO}traders/", "summary:has-text('split')"),
    _live("trader-remove", "traders", f"{PORTFOLIO}traders/", "[data-slot=remove] >> nth=0"),
    _live("traders-empty", "traders", f"{EMPTY}traders/"),
    _plain("trader-add", "trader_add", f"{PORTFOLIO}traders/add/"),
    _plain("trader-preview", "trader_add", f"{EMPTY}traders/add/?kind=replay&key=qwen3-max"),
    _plain("trader-invalid", "trader_add", f"{PORTFOLIO}traders/add/?kind=hyperliquid&key=0x12"),
    _live("trader", "trader", "{trader}"),
    _plain("signals", "follow_signals", "{signals}"),
    # ------------------------------------------------ conflicts, orders, risk
    _live("conflicts", "conflicts", f"{PORTFOLIO}conflicts/"),
    _live("conflict", "conflict", "{conflict}"),
    _live("conflicts-empty", "conflicts", f"{EMPTY}conflicts/"),
    _live("orders", "orders", f"{PORTFOLIO}orders/"),
    _live("orders-empty", "orders", f"{EMPTY}orders/"),
    _live("order", "order", "{order}"),
    _plain("closed", "closed", f"{PORTFOLIO}orders/closed/"),
    _plain("ledger", "ledger", f"{PORTFOLIO}orders/ledger/"),
    _plain("data", "data", f"{PORTFOLIO}data/"),
    _live("risk", "risk", f"{PORTFOLIO}risk/"),
    _live("drill", "risk", f"{PORTFOLIO}risk/", "[data-ask=drill]"),
    _live("risk-empty", "risk", f"{EMPTY}risk/"),
    # ------------------------------------------------ money, settings, account
    _plain("money", "money", f"{PORTFOLIO}money/"),
    _plain("live", "live", f"{PORTFOLIO}live/"),
    _plain("settings", "settings", f"{PORTFOLIO}settings/"),
    _plain("alerts", "alerts", "/account/alerts/"),
    _plain("alert-add", "alerts", "/account/alerts/?service=telegram"),
    _plain("tokens", "tokens", "/account/tokens/"),
    _plain("keys", "keys", "/keys/"),
    _plain("key-add", "keys", "/keys/?venue=hyperliquid"),
    _plain("agents", "agents", "/agents/"),
    _plain("agent-change", "agents", "/agents/", "[data-open^=change-] >> nth=0"),
    _sign("password", "account_change_password", "/accounts/password/change/", signed_in=True),
    _sign("addresses", "account_email", "/accounts/email/", signed_in=True),
    _sign("reauthenticate", "account_reauthenticate", "/accounts/reauthenticate/", signed_in=True),
    _plain("account", "account", "/account/"),
    _plain("account-delete", "account_delete", "/account/delete/"),
    _sign("second-factor", "mfa_index", "/accounts/second-factor/", signed_in=True),
    _sign("app-add", "mfa_activate_totp", "/accounts/second-factor/totp/activate/", signed_in=True),
    _sign("passkeys", "mfa_list_webauthn", "/accounts/second-factor/webauthn/", signed_in=True),
    _sign("passkey-add", "mfa_add_webauthn", "/accounts/second-factor/webauthn/add/", signed_in=True),
    _sign("sessions", "usersessions_list", "/accounts/sessions/", signed_in=True),
    _sign("signout", "account_logout", "/accounts/logout/", signed_in=True),
)
# Beside the URL conf: an address that leads nowhere.
MISSING: Final = Shown("missing", "", "/portfolios/999999999/")

# Routes without a page of their own, and why.
NO_PAGE: Final[Mapping[str, str]] = {
    "healthz": "for probes",
    "readyz": "for probes",
    "metrics": "for Prometheus",
    **dict.fromkeys(("mfa_login_webauthn", "mfa_download_recovery_codes"), "JSON, or a file"),
    **dict.fromkeys(
        ("mfa_authenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"),
        "comes up in the middle of signing in with a second factor; tried in tests/people",
    ),
    **dict.fromkeys(
        ("mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"),
        "is there once a second factor is on; tried in tests/people",
    ),
    **dict.fromkeys(("mfa_edit_webauthn", "mfa_remove_webauthn"), "is there once a passkey is kept"),
    **dict.fromkeys(
        ("dashboard:session_end", "dashboard:language_set", "dashboard:profile_save"), "a form's target"
    ),
    "dashboard:account_export": "a file",
    "account_set_password": "leads on to changing it",
    "account_confirm_login_code": "codes by e-mail are not used",
    "dashboard:import": "is there once a file was given; tried in tests/integration/imports",
    "dashboard:home": "leads on to a portfolio",
    "dashboard:portfolio_equity": "JSON",
    "dashboard:position_candles": "JSON",
    "dashboard:live_ask": "a form's target",
    **dict.fromkeys(
        (
            *("dashboard:agent_edit", "dashboard:agent_secret", "dashboard:agent_remove"),
            *("dashboard:alerts_read", "dashboard:alert_quiet", "dashboard:alert_channel"),
            *("dashboard:alert_channel_test", "dashboard:alert_channel_remove"),
            *("dashboard:key_rename", "dashboard:key_revoke", "dashboard:weights_save"),
            "dashboard:token_end",
            "dashboard:demo_follow",
            *("dashboard:follow_remove", "dashboard:follow_style", "dashboard:follow_move"),
            *("dashboard:cash_deposit", "dashboard:cash_withdraw", "dashboard:cash_reset"),
            *("dashboard:limits_save", "dashboard:exit_defaults_save", "dashboard:override_set"),
            *("dashboard:override_remove", "dashboard:block_add", "dashboard:block_remove"),
        ),
        "a form's target",
    ),
}
# Whole parts of the URL conf that are not ours to draw.
NOT_OURS: Final = ("admin", "api")


def routes_of_pages() -> set[str]:
    """Names of every route of the URL conf outside admin and API."""
    return set(_routes(get_resolver().url_patterns, ""))


def _routes(patterns: list[Any], space: str) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = pattern.namespace or ""
            if inner not in NOT_OURS:
                yield from _routes(pattern.url_patterns, f"{inner}:" if inner else space)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield f"{space}{pattern.name}"


def places_find(page: Any, base: str) -> dict[str, str]:
    """What the braces of :data:`PAGES` stand for, found by the links a signed-in person sees.

    Makes what is missing: a portfolio that follows nobody, one that follows a strategy, an agent.
    """
    page.goto(f"{base}/")
    portfolio = page.url.split("/portfolios/")[1].strip("/")
    own = f"{base}/portfolios/{portfolio}/"
    empty = _untouched(page, base)
    _agent_make(page, base)
    candles = f"{base}/portfolios/{_strategy(page, base)}/traders/"
    return {
        "portfolio": portfolio,
        "empty": empty,
        "position": _first(page, own, "#positions [data-slot=code][href]"),
        "conflict": _first(page, f"{own}conflicts/", "#conflict-queue a.item"),
        "order": _first(page, f"{own}orders/?state=filled", "[id^=order-link-]"),
        "signals": _first(page, candles, "[data-slot=signals][href]"),
        "trader": _first(page, f"{own}traders/", "a.who-name[href]"),
    }


def _first(page: Any, address: str, links: str) -> str:
    """Path of the first such link on a page; nothing when there is none."""
    page.goto(address)
    page.wait_for_selector("#connection[data-state=live]")
    link = page.locator(links).first
    return str(link.get_attribute("href")) if link.count() else ""


def _untouched(page: Any, base: str) -> str:
    """Number of the portfolio that follows nobody."""
    return _named(page, base, "Untouched")


def _strategy(page: Any, base: str) -> str:
    """Number of the portfolio that follows a strategy on recorded candles."""
    number = _named(page, base, "Candles")
    page.goto(f"{base}/portfolios/{number}/traders/add/")
    if not page.locator("main a[href*='kind=strategy'] >> text=/followed/").count():
        page.locator("main a[href*='kind=strategy']").first.click()
        page.locator("main form[method=post] button.btn-primary").click()
        page.wait_for_url("**/traders/")
    return number


def _named(page: Any, base: str, name: str) -> str:
    """Number of the portfolio of this name, opened where it is missing."""
    page.goto(f"{base}/")
    known = page.locator("#portfolio-menu a", has_text=name)
    if known.count():
        return str(known.first.get_attribute("href")).strip("/").split("/")[-1]
    page.goto(f"{base}/portfolios/new/")
    page.locator("main form input[name=name]").fill(name)
    page.locator("main form button.btn-primary").click()
    page.wait_for_url(lambda url: "/new/" not in url)
    return str(page.url.strip("/").split("/")[-1])


def _agent_make(page: Any, base: str) -> None:
    page.goto(f"{base}/agents/")
    if not page.locator("[id^=agent-]").count():
        page.locator("main form input[name=name]").fill("Night desk")
        page.locator("main form button.btn-primary").click()
        page.wait_for_selector("#agent-secret")
