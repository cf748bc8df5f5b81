"""ISSUE "Seeing": the admin has a searchable, read-mostly page for every model, and is for administrators."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from knox.models import AuthToken

from accounts.models import Portfolio, User
from tests.api.making import (
    decision_make,
    everything_make,
    follow_make,
    order_make,
    portfolio_make,
    trader_make,
)
from traders.models import Trader

OWN_APPS = ("accounts", "alerts", "markets", "traders", "allocation", "execution", "positions", "engine")
MODELS = [
    model
    for app in OWN_APPS
    for model in apps.get_app_config(app).get_models()
    if not model._meta.auto_created
]
EDITABLE = {User, Trader}


def _url(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def _row(model: type[Model]) -> Model:
    row = model._default_manager.first()
    assert row is not None, f"no row of {model._meta.label} to look at"
    return row


@pytest.fixture
def root(db: None, client_of: Callable[[User], Client]) -> Client:
    return client_of(User.objects.create_superuser("root@example.com", "a long enough password"))


@pytest.fixture
def full(alice: User) -> Portfolio:
    return everything_make(owner=alice)


def test_every_model_has_a_page() -> None:
    """Nothing the platform stores is out of an administrator's sight."""
    assert [model for model in MODELS if not admin.site.is_registered(model)] == []


def test_lists_and_details_open(root: Client, full: Portfolio) -> None:
    """Each list opens, can be searched, and each row opens."""
    for model in MODELS:
        changelist = _url(model, "changelist")
        for url in (
            changelist,
            f"{changelist}?q=7",
            f"{changelist}?q=btc",
            _url(model, "change", _row(model).pk),
        ):
            assert root.get(url).status_code == 200, url


def test_books_cannot_be_touched(root: Client, full: Portfolio) -> None:
    """SEC-2: no adding, changing or deleting of anything that is a book, not even by an administrator."""
    for model in MODELS:
        row, count = _row(model), model._default_manager.count()
        assert root.post(_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        if model not in EDITABLE:
            assert root.get(_url(model, "add")).status_code == 403, model
            assert root.post(_url(model, "add"), {}).status_code == 403, model
            assert root.post(_url(model, "change", row.pk), {}).status_code == 403, model
            root.post(
                _url(model, "changelist"),
                {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
            )
        assert model._default_manager.count() == count, model


def test_ordinary_people_are_turned_away(
    full: Portfolio, alice: User, client_of: Callable[[User], Client]
) -> None:
    """SEC-1: owner or not, without the rights there is no admin; nor for someone who is not signed in."""
    for client in (client_of(alice), Client()):
        for model in MODELS:
            for url in (_url(model, "changelist"), _url(model, "change", _row(model).pk)):
                response = client.get(url)
                assert response.status_code == 302, url
                assert response.headers["Location"].startswith("/admin/login/")


def test_a_portfolio_leads_to_what_belongs_to_it(root: Client, full: Portfolio, bob: User) -> None:
    """From a portfolio one click leads to its own orders, and to nobody else's."""
    other = portfolio_make(owner=bob, name="Another")
    order_make(portfolio=other)
    page = root.get(_url(Portfolio, "change", full.pk)).content.decode()
    link = f"{reverse('admin:execution_order_changelist')}?portfolio__id__exact={full.pk}"
    assert link in page
    shown = root.get(link).context["cl"].queryset
    assert {order.portfolio_id for order in shown} == {full.pk}


@pytest.mark.parametrize(
    "name",
    ["allocation_follow", "execution_order", "engine_decision", "traders_trader", "accounts_portfolio"],
)
def test_lists_cost_the_same_for_many_rows(
    root: Client, full: Portfolio, alice: User, bob: User, name: str
) -> None:
    """No list asks the database once per row."""
    from django.db import connection

    url = reverse(f"admin:{name}_changelist")
    root.get(url)
    with CaptureQueriesContext(connection) as few:
        root.get(url)
    for number in range(5):
        other = portfolio_make(owner=bob, name=f"Another {number}")
        follow = follow_make(portfolio=other, trader=trader_make(key=f"trader{number}"))
        decision_make(portfolio=other, follow=follow, order=order_make(portfolio=other, follow=follow))
    with CaptureQueriesContext(connection) as many:
        root.get(url)
    assert len(many) == len(few)


def test_traders_are_paused_resumed_and_read_again(root: Client, full: Portfolio) -> None:
    """SYN-4: an administrator can pause a trader's sync, resume it and have it read at once."""
    trader = Trader.objects.get()

    def act(action: str) -> Trader:
        response = root.post(
            _url(Trader, "changelist"), {"action": action, "_selected_action": trader.pk}, follow=True
        )
        assert response.status_code == 200
        return Trader.objects.get(pk=trader.pk)

    assert act("pause").status == "paused"
    assert act("resume").status == "active"
    before = Trader.objects.get(pk=trader.pk).next_sync_at
    assert act("resync").next_sync_at > before
    history = root.get(_url(Trader, "history", trader.pk)).content.decode()
    assert "Paused the sync" in history
    assert "Resumed the sync" in history


def test_a_traders_words_can_be_edited_but_not_its_identity(root: Client, full: Portfolio) -> None:
    """FOL-2: name and rhythm are editable, the address is not; a rhythm out of bounds is refused."""
    trader = Trader.objects.get()
    form = {
        "name": "DeepSeek",
        "monogram": "DS",
        "detail": "",
        "note": "",
        "sync_interval_s": "30",
        "key": "x",
    }
    assert root.post(_url(Trader, "change", trader.pk), form).status_code == 302
    trader.refresh_from_db()
    assert (trader.name, trader.sync_interval_s, trader.key) == ("DeepSeek", 30, "deepseek")
    response = root.post(_url(Trader, "change", trader.pk), {**form, "sync_interval_s": "5"})
    assert response.status_code == 200
    trader.refresh_from_db()
    assert trader.sync_interval_s == 30


def test_people_are_added_and_edited_by_e_mail(root: Client, alice: User) -> None:
    """People have no user name; the e-mail address is kept in lower case and is unique in any case."""
    form = {"email": "Dora@Example.com", "usable_password": "true"}
    passwords = {"password1": "a long enough one", "password2": "a long enough one"}
    assert root.post(_url(User, "add"), {**form, **passwords}).status_code == 302
    assert User.objects.get(email="dora@example.com").check_password("a long enough one")
    response = root.post(_url(User, "add"), {**form, "email": "ALICE@example.com", **passwords})
    assert response.status_code == 200
    assert User.objects.filter(email__iexact="alice@example.com").count() == 1


def test_a_password_set_by_an_administrator_ends_the_tokens(root: Client, alice: User) -> None:
    """SEC-1: whoever had a token made with the old password is out."""
    AuthToken.objects.create(user=alice)
    url = reverse("admin:auth_user_password_change", args=[alice.pk])
    passwords = {
        "password1": "quite another one",
        "password2": "quite another one",
        "usable_password": "true",
    }
    assert root.post(url, passwords).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("quite another one")
    assert AuthToken.objects.filter(user=alice).count() == 0
