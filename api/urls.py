"""Addresses of the API, relative to /api/v1/."""

from django.urls import path, re_path

from api import views

app_name = "api"
_ONE = "portfolios/<int:portfolio_id>/"

urlpatterns = [
    path("auth/token/", views.TokenView.as_view(), name="token"),
    path("auth/logout/", views.LogoutView.as_view(), name="logout"),
    path("portfolios/", views.PortfolioListView.as_view(), name="portfolios"),
    path(_ONE, views.PortfolioView.as_view(), name="portfolio"),
    path(f"{_ONE}follows/", views.FollowListView.as_view(), name="follows"),
    path(f"{_ONE}follows/<int:follow_id>/", views.FollowView.as_view(), name="follow"),
    path(f"{_ONE}decisions/", views.DecisionListView.as_view(), name="decisions"),
    re_path(r"", views.NoSuchView.as_view(), name="nothing"),
]
