"""Creating, changing and finding portfolios: what is refused, with which sentence, nothing happening."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.models import Portfolio, User
from accounts.selectors import portfolio_get, portfolios_of
from accounts.services import MAX_PORTFOLIOS, portfolio_create, portfolio_update
from core.errors import InputError, NotFound


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_create(owner=alice, name="First")


def test_a_new_portfolio_is_on_paper_spot_conservative_and_combines(portfolio: Portfolio) -> None:
    """SPEC defaults: spot policy, conservative profile, combine; no world before the first follow."""
    stored = Portfolio.objects.get()
    assert (stored.mode, stored.policy, stored.risk_profile, stored.conflict_rule, stored.world) == (
        "paper",
        "spot",
        "conservative",
        "combine",
        "",
    )
    assert stored.auto_rebalance is False
    assert stored.status == "active"


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"name": " \t "}, "name", "Give the portfolio a name."),
        ({"name": None}, "name", "Give the portfolio a name."),
        ({"name": "x" * 81}, "name", "A name has at most 80 characters, this one has 81."),
        ({"name": "a\x00b"}, "name", "A name cannot contain control characters."),
        ({"name": "FIRST"}, "name", "You have a portfolio called “FIRST” already."),
        ({"policy": "margin"}, "policy", "“margin” is no policy; choose spot or perp."),
        (
            {"risk_profile": "wild"},
            "risk_profile",
            "“wild” is no risk profile; choose conservative, balanced, aggressive or own.",
        ),
        (
            {"conflict_rule": "vote"},
            "conflict_rule",
            "“vote” is no conflict rule; choose combine, largest or first.",
        ),
        ({"auto_rebalance": "yes"}, "auto_rebalance", "Auto-rebalance is either on or off."),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    alice: User, portfolio: Portfolio, fields: dict[str, Any], field: str, sentence: str
) -> None:
    """Creating and changing refuse alike, and nothing is stored or left on the object."""
    with pytest.raises(InputError) as refused:
        portfolio_create(owner=alice, **{"name": "Second", **fields})
    assert (refused.value.message, refused.value.field) == (sentence, field)
    assert Portfolio.objects.count() == 1

    second = portfolio_create(owner=alice, name="Second")
    before = Portfolio.objects.filter(pk=second.pk).values().get()
    with pytest.raises(InputError) as refused:
        portfolio_update(portfolio=second, **fields)
    assert (refused.value.message, refused.value.field) == (sentence, field)
    assert Portfolio.objects.filter(pk=second.pk).values().get() == before
    assert second.name == "Second"


@pytest.mark.parametrize("field", ["world", "owner", "mode", "status", "colour"])
def test_what_is_fixed_stays(portfolio: Portfolio, field: str) -> None:
    """SPEC "Worlds": the world never changes by hand; nor do owner, mode and status."""
    with pytest.raises(InputError) as refused:
        portfolio_update(portfolio=portfolio, **{field: "live"})
    assert (refused.value.message, refused.value.field) == (f"“{field}” cannot be changed.", field)


def test_a_change_reports_what_really_changed(portfolio: Portfolio) -> None:
    """The caller wakes the cycle only for what is new; spaces around a name do not count."""
    assert portfolio_update(portfolio=portfolio, name=" First ", policy="spot") == []
    assert portfolio_update(portfolio=portfolio, name="First", conflict_rule="largest") == ["conflict_rule"]
    assert Portfolio.objects.get().conflict_rule == "largest"


def test_two_people_may_use_one_name(bob: User, portfolio: Portfolio) -> None:
    """A name is unique per owner, in any case of letters."""
    assert portfolio_create(owner=bob, name="first").name == "first"


def test_there_is_a_limit(alice: User) -> None:
    """A limit on everything: twenty portfolios a person."""
    for number in range(MAX_PORTFOLIOS):
        portfolio_create(owner=alice, name=f"Number {number}")
    with pytest.raises(InputError, match="You have 20 portfolios already"):
        portfolio_create(owner=alice, name="One more")
    assert portfolios_of(user=alice).count() == MAX_PORTFOLIOS


def test_everybody_finds_their_own_alone(alice: User, charlie: User, portfolio: Portfolio) -> None:
    """SEC-1: missing, foreign, and asked for by nobody: one and the same answer."""
    assert portfolio_get(user=alice, portfolio_id=portfolio.pk) == portfolio
    assert list(portfolios_of(user=charlie)) == []
    assert list(portfolios_of(user=AnonymousUser())) == []
    for user in (charlie, AnonymousUser()):
        with pytest.raises(NotFound) as refused:
            portfolio_get(user=user, portfolio_id=portfolio.pk)
        assert refused.value.message == f"You have no portfolio with the number {portfolio.pk}."
    for number in (0, -1, 2**63, portfolio.pk + 1):
        with pytest.raises(NotFound):
            portfolio_get(user=alice, portfolio_id=number)
