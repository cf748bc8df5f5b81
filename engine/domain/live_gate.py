"""What must be there before a portfolio trades with real money, and before it may hold more positions.

Every condition is told with what to do about it; all of them are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from core.decimals import plain


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is needed.

    :param name: short and fixed, for programs
    :param text: how it stands, and what to do where it is not met
    """

    name: str
    met: bool
    text: str


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What is known of a portfolio in shadow.

    :param key_problem: why the key cannot be used; empty when it can
    :param check_problems: what the venue's account is not ready for; None where it was not asked
    :param shortened: why its owner ends the shadow before its time; empty: not
    :param has_sandbox: whether the venue has a test environment that can be used
    :param sandbox_filled: whether its owner had an order filled in that venue's sandbox
    :param free_cash: of the account in its currency; None where it was not asked
    :param stopped: why nothing may be opened now; empty when it may
    """

    server_allows: bool
    second_factor: bool
    email_verified: bool
    key_problem: str
    check_problems: tuple[str, ...] | None
    shadow_for: timedelta
    shadow_least: timedelta
    shortened: str
    sandbox: bool
    has_sandbox: bool
    sandbox_filled: bool
    sandbox_cancelled: bool
    assigned: Decimal
    free_cash: Decimal | None
    quote: str
    stopped: str


def gate_conditions(*, facts: GateFacts) -> tuple[Condition, ...]:
    """Return every condition for going live, met or not, in the order a person meets them."""
    conditions = [
        _condition(
            "server",
            facts.server_allows,
            "This server may trade live.",
            "This server does not trade live. Whoever runs it sets LIVE_TRADING=true.",
        ),
        _condition(
            "second_factor",
            facts.second_factor,
            "You sign in with a second factor.",
            "Set up a second factor for signing in.",
        ),
        _condition(
            "email",
            facts.email_verified,
            "Your e-mail address is verified.",
            "Verify your e-mail address: the page of your account sends the link.",
        ),
        _condition("key", not facts.key_problem, "The key may trade.", facts.key_problem),
        _account(facts),
        _cash(facts),
        _shadow(facts),
        _sandbox(facts),
        _condition("breakers", not facts.stopped, "No breaker stands.", f"{facts.stopped} Reset it first."),
    ]
    return tuple(conditions)


def _condition(name: str, met: bool, good: str, bad: str) -> Condition:
    return Condition(name, met, good if met else bad)


def _account(facts: GateFacts) -> Condition:
    if facts.check_problems is None:
        return Condition("account", False, "The venue has not been asked about the account yet.")
    good = "The venue finds nothing wrong with the account."
    return _condition("account", not facts.check_problems, good, " ".join(facts.check_problems))


def _cash(facts: GateFacts) -> Condition:
    assigned = f"{plain(facts.assigned)} {facts.quote}"
    if facts.free_cash is None:
        return Condition("cash", False, "What the account has free has not been read yet.")
    free = f"{plain(facts.free_cash)} {facts.quote}"
    return _condition(
        "cash",
        facts.free_cash >= facts.assigned,
        f"{assigned} are assigned, {free} are free there.",
        f"{assigned} are assigned, and only {free} are free there. Bring in more, or connect anew with less.",
    )


def _shadow(facts: GateFacts) -> Condition:
    hours, least = _hours(facts.shadow_for), _hours(facts.shadow_least)
    if facts.shadow_for >= facts.shadow_least:
        return Condition("shadow", True, f"It ran in shadow for {hours} h.")
    if facts.shortened:
        return Condition("shadow", True, f"You end the shadow after {hours} h: {facts.shortened}")
    return Condition(
        "shadow",
        False,
        f"It ran in shadow for {hours} of {least} h. Wait, or say why you end it sooner; that is kept.",
    )


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.1f}"


def _sandbox(facts: GateFacts) -> Condition:
    if facts.sandbox:
        return Condition("sandbox", True, "This account is one of the test environment.")
    if not facts.has_sandbox:
        return Condition("sandbox", True, "The venue has no test environment that could be used first.")
    done = facts.sandbox_filled and facts.sandbox_cancelled
    return _condition(
        "sandbox",
        done,
        "You had an order filled and one cancelled in the venue's test environment.",
        "Use the venue's test environment first: connect a portfolio to it, until one order was filled"
        f"{' (done)' if facts.sandbox_filled else ''} and one cancelled"
        f"{' (done)' if facts.sandbox_cancelled else ''}.",
    )


@dataclass(frozen=True, slots=True)
class RampFacts:
    """How a live portfolio has done since its number of positions was last raised.

    :param step: how many positions it may hold; None: as many as its limits allow
    :param since: it holds since; a serious finding or a halt that was settled later counts from then
    :param filled: orders filled since then
    :param open_problem: a serious finding or a breaker that stands; empty: none
    """

    step: int | None
    since: datetime
    filled: int
    open_problem: str
    days_least: int
    orders_least: int


def ramp_problem(*, facts: RampFacts, now: datetime) -> str:
    """Return why a live portfolio may not hold more positions yet, in words; empty when it may.

    It may after at least so many days *and* so many filled orders without a serious finding or a standing
    breaker, one step at a time.
    """
    if facts.step is None:
        return "It may hold as many positions as its limits allow already."
    if facts.open_problem:
        return f"{facts.open_problem} Settle that first."
    days = (now - facts.since) / timedelta(days=1)
    if days < facts.days_least:
        left = f"{days:.1f} of {facts.days_least} days"
        return f"It has traded without a finding for {left}. Wait for the rest."
    if facts.filled < facts.orders_least:
        return f"{facts.filled} of {facts.orders_least} orders were filled since. Wait for the rest."
    return ""


def ramp_next(*, step: int | None, steps: tuple[int, ...]) -> int | None:
    """Return how many positions come after ``step``; None: as many as the limits allow."""
    later = [one for one in steps if step is not None and one > step]
    return later[0] if later else None
