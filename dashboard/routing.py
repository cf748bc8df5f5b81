"""Addresses of the sockets."""

from django.urls import path

from dashboard.consumers import PortfolioConsumer

websocket_urlpatterns = [path("ws/portfolios/<int:portfolio_id>/", PortfolioConsumer.as_asgi())]
