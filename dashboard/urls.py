"""Addresses of the pages."""

from django.urls import path

from dashboard import (
    account_views,
    agent_views,
    conflict_views,
    data_views,
    history_views,
    key_views,
    live_views,
    money_views,
    position_views,
    risk_views,
    settings_views,
    style_views,
    trader_views,
    views,
)

app_name = "dashboard"
PORTFOLIO = "portfolios/<int:portfolio_id>/"
FOLLOW = f"{PORTFOLIO}traders/<int:follow_id>/"

urlpatterns = [
    path("", views.home, name="home"),
    path("portfolios/new/", views.portfolio_new, name="portfolio_new"),
    path("account/", account_views.account_page, name="account"),
    path("account/sessions/<int:session_id>/end/", account_views.session_end, name="session_end"),
    path("agents/", agent_views.agents_page, name="agents"),
    path("agents/<uuid:agent_id>/", agent_views.agent_edit, name="agent_edit"),
    path("agents/<uuid:agent_id>/secret/", agent_views.agent_secret, name="agent_secret"),
    path("agents/<uuid:agent_id>/revoke/", agent_views.agent_remove, name="agent_remove"),
    path("keys/", key_views.keys_page, name="keys"),
    path("keys/<int:credential_id>/rename/", key_views.key_rename, name="key_rename"),
    path("keys/<int:credential_id>/revoke/", key_views.key_revoke, name="key_revoke"),
    path(PORTFOLIO, views.portfolio_page, name="portfolio"),
    path(f"{PORTFOLIO}equity.json", views.portfolio_equity, name="portfolio_equity"),
    path(f"{PORTFOLIO}positions/<int:position_id>/", position_views.position_page, name="position"),
    path(
        f"{PORTFOLIO}positions/<int:position_id>/candles.json",
        position_views.position_candles,
        name="position_candles",
    ),
    path(f"{PORTFOLIO}traders/", trader_views.traders_page, name="traders"),
    path(f"{PORTFOLIO}traders/weights/", trader_views.weights_save, name="weights_save"),
    path(f"{PORTFOLIO}traders/add/", trader_views.trader_add, name="trader_add"),
    path(f"{FOLLOW}signals/", trader_views.follow_signals, name="follow_signals"),
    path(f"{FOLLOW}remove/", trader_views.follow_remove, name="follow_remove"),
    path(f"{FOLLOW}style/", style_views.follow_style, name="follow_style"),
    path(f"{FOLLOW}move/", trader_views.follow_move, name="follow_move"),
    path(f"{PORTFOLIO}conflicts/", conflict_views.conflicts_page, name="conflicts"),
    path(f"{PORTFOLIO}conflicts/<str:underlying>/", conflict_views.conflicts_page, name="conflict"),
    path(f"{PORTFOLIO}orders/", history_views.orders_page, name="orders"),
    path(f"{PORTFOLIO}orders/<int:order_id>/", history_views.order_page, name="order"),
    path(f"{PORTFOLIO}orders/closed/", history_views.closed_page, name="closed"),
    path(f"{PORTFOLIO}orders/ledger/", history_views.ledger_page, name="ledger"),
    path(f"{PORTFOLIO}risk/", risk_views.risk_page, name="risk"),
    path(f"{PORTFOLIO}money/", money_views.money_page, name="money"),
    path(f"{PORTFOLIO}money/deposit/", money_views.deposit, name="cash_deposit"),
    path(f"{PORTFOLIO}money/withdraw/", money_views.withdraw, name="cash_withdraw"),
    path(f"{PORTFOLIO}money/reset/", money_views.reset, name="cash_reset"),
    path(f"{PORTFOLIO}data/", data_views.data_page, name="data"),
    path(f"{PORTFOLIO}live/", live_views.live_page, name="live"),
    path(f"{PORTFOLIO}live/<slug:kind>/", live_views.live_ask, name="live_ask"),
    path(f"{PORTFOLIO}settings/", settings_views.settings_page, name="settings"),
    path(f"{PORTFOLIO}settings/limits/", settings_views.limits_save, name="limits_save"),
    path(f"{PORTFOLIO}settings/exits/", settings_views.exit_defaults_save, name="exit_defaults_save"),
    path(f"{PORTFOLIO}settings/rule/", settings_views.override_set, name="override_set"),
    path(f"{PORTFOLIO}settings/rule/remove/", settings_views.override_remove, name="override_remove"),
    path(f"{PORTFOLIO}settings/block/", settings_views.block_add, name="block_add"),
    path(f"{PORTFOLIO}settings/block/remove/", settings_views.block_remove, name="block_remove"),
]
