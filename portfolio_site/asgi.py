"""The ASGI entry point: pages and API through Django, sockets through Channels."""

import os
from importlib.util import find_spec

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")
os.environ.setdefault("DATABASE_POOL", "true")

django_application = get_asgi_application()

from portfolio_site.static_files import StaticFiles  # noqa: E402 - needs the settings above

websocket_urlpatterns: list[object] = []
if find_spec("dashboard") and find_spec("dashboard.routing"):
    from dashboard.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": StaticFiles(application=django_application),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
