"""SEC-1: no message reaches this machine or the network around it, whatever its address says."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import requests

from accounts.models import User
from alerts.channels import channel_add, channel_test
from alerts.models import AlertChannel
from alerts.network import PrivateAddress, address_public, guarded_connections, host_check
from core.errors import InputError
from tests.alerts.conftest import NOW, WEBHOOK_SECRET
from tests.loopback.messengers import Messengers


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - looked at, not listened on
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Private, loopback, link-local, shared, multicast, and IPv4 wrapped in IPv6."""
    assert address_public(address=address) is public


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/hook",
        "http://localhost/hook",
        "https://[::1]/hook",
        "http://2130706433/hook",
        "http://0x7f.1/hook",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_private_webhook_is_not_kept(alice: User, url: str) -> None:
    """Refused beside its field, and nothing is stored."""
    with pytest.raises(InputError, match="public network") as refused:
        channel_add(
            owner=alice, service="webhook", name="Mine", fields={"url": url, "secret": WEBHOOK_SECRET},
            kinds=None, via="page", now=NOW,
        )  # fmt: skip
    assert refused.value.field == "url"
    assert not AlertChannel.objects.exists()


@pytest.mark.django_db
def test_an_own_server_of_another_service_is_not_kept_either(alice: User) -> None:
    """Services that people run themselves are looked at like webhooks."""
    with pytest.raises(InputError, match="public network"):
        channel_add(
            owner=alice, service="other", name="Mine", fields={"url": "gotifys://127.0.0.1/AbCdEfGhIjKlMnO"},
            kinds=None, via="page", now=NOW,
        )  # fmt: skip
    assert not AlertChannel.objects.exists()


@pytest.mark.django_db
def test_it_is_looked_at_again_when_something_is_sent(
    webhook: AlertChannel, messengers: Messengers, settings: Any
) -> None:
    """A name that was public when it was kept, and is not any more."""
    settings.ALERTS_ALLOW_PRIVATE = False
    error = channel_test(channel=webhook, now=NOW)
    assert error == "Not sent: the address is not one of the public network."
    assert messengers.received == []


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    messengers: Messengers, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with a public address first and this machine's afterwards gains nothing."""
    settings.ALERTS_ALLOW_PRIVATE = False
    asked = []
    real = socket.getaddrinfo

    def turning(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if len(asked) > 1 else "93.184.216.34", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", turning)
    assert host_check(host="turning.example", port=messengers.port) == ["93.184.216.34"]
    with guarded_connections(), pytest.raises(requests.RequestException) as refused:
        requests.post(f"http://turning.example:{messengers.port}/", timeout=2)
    assert isinstance(refused.value.args[0].reason.__context__, PrivateAddress)
    assert messengers.received == []


def test_everything_else_connects_as_ever(messengers: Messengers, settings: Any) -> None:
    """The guard is for messages alone."""
    settings.ALERTS_ALLOW_PRIVATE = False
    assert requests.post(f"{messengers.url}/", timeout=5).text == "taken"
