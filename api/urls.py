"""Addresses of the API, relative to /api/v1/."""

from django.urls import path, re_path

from api import (
    agent_views,
    alert_views,
    capital_views,
    credential_views,
    exit_views,
    export_views,
    import_views,
    insight_views,
    live_views,
    trading_views,
    views,
)

app_name = "api"
_ONE = "portfolios/<int:portfolio_id>/"
_REQUEST = f"{_ONE}capital/requests/<uuid:reservation_id>/"

urlpatterns = [
    path("auth/token/", views.TokenView.as_view(), name="token"),
    path("auth/logout/", views.LogoutView.as_view(), name="logout"),
    path("agents/", agent_views.AgentListView.as_view(), name="agents"),
    path("agents/<uuid:agent_id>/", agent_views.AgentView.as_view(), name="agent"),
    path("agents/<uuid:agent_id>/secret/", agent_views.AgentSecretView.as_view(), name="agent_secret"),
    path(
        "agents/<uuid:agent_id>/positions/",
        agent_views.AgentPositionsView.as_view(),
        name="agent_positions",
    ),
    path("alerts/", alert_views.AlertListView.as_view(), name="alerts"),
    path("alerts/read/", alert_views.AlertsReadView.as_view(), name="alerts_read"),
    path("alerts/quiet-hours/", alert_views.QuietHoursView.as_view(), name="quiet_hours"),
    path("alert-channels/", alert_views.ChannelListView.as_view(), name="alert_channels"),
    path("alert-channels/<int:channel_id>/", alert_views.ChannelView.as_view(), name="alert_channel"),
    path(
        "alert-channels/<int:channel_id>/test/",
        alert_views.ChannelTestView.as_view(),
        name="alert_channel_test",
    ),
    path("credentials/", credential_views.CredentialListView.as_view(), name="credentials"),
    path("credentials/<int:credential_id>/", credential_views.CredentialView.as_view(), name="credential"),
    path("imports/", import_views.ImportListView.as_view(), name="imports"),
    path("imports/<int:import_id>/", import_views.ImportView.as_view(), name="import"),
    path("portfolios/", views.PortfolioListView.as_view(), name="portfolios"),
    path(_ONE, views.PortfolioView.as_view(), name="portfolio"),
    path(f"{_ONE}follows/", views.FollowListView.as_view(), name="follows"),
    path(f"{_ONE}follows/<int:follow_id>/", views.FollowView.as_view(), name="follow"),
    path(f"{_ONE}follows/<int:follow_id>/changes/", insight_views.ChangeListView.as_view(), name="changes"),
    path(f"{_ONE}independence/", insight_views.IndependenceView.as_view(), name="independence"),
    path(f"{_ONE}follows/<int:follow_id>/signals/", views.SignalListView.as_view(), name="signals"),
    path(
        f"{_ONE}follows/<int:follow_id>/style/<int:alarm_id>/dismiss/",
        views.StyleDismissView.as_view(),
        name="style_dismiss",
    ),
    path(f"{_ONE}weights/", views.WeightsView.as_view(), name="weights"),
    path(f"{_ONE}decisions/", views.DecisionListView.as_view(), name="decisions"),
    path(f"{_ONE}commands/", trading_views.CommandListView.as_view(), name="commands"),
    path(f"{_ONE}commands/<uuid:command_id>/", trading_views.CommandView.as_view(), name="command"),
    path(f"{_ONE}emergency-stop/", trading_views.EmergencyStopView.as_view(), name="emergency_stop"),
    path(f"{_ONE}orders/", trading_views.OrderListView.as_view(), name="orders"),
    path(f"{_ONE}orders/<int:order_id>/", trading_views.OrderView.as_view(), name="order"),
    path(
        f"{_ONE}positions/<int:position_id>/exits/",
        exit_views.PositionExitsView.as_view(),
        name="position_exits",
    ),
    path(f"{_ONE}exit-defaults/", exit_views.ExitDefaultsView.as_view(), name="exit_defaults"),
    path(f"{_ONE}exits/", exit_views.ExitListView.as_view(), name="exits"),
    path(f"{_ONE}capital/", capital_views.CapitalView.as_view(), name="capital"),
    path(f"{_ONE}capital/requests/", capital_views.RequestListView.as_view(), name="capital_requests"),
    path(_REQUEST, capital_views.RequestView.as_view(), name="capital_request"),
    path(f"{_REQUEST}use/", capital_views.RequestUseView.as_view(), name="capital_use"),
    path(f"{_ONE}export/<slug:what>.<slug:ending>", export_views.ExportView.as_view(), name="export"),
    path(f"{_ONE}live/", live_views.LiveView.as_view(), name="live"),
    path(f"{_ONE}audit/", trading_views.AuditListView.as_view(), name="audit"),
    re_path(r"", views.NoSuchView.as_view(), name="nothing"),
]
