"""Keeping messages from being sent to this machine or the network around it (SSRF).

People name the addresses of webhooks and of servers of their own. A name may point anywhere, and may point
elsewhere a moment after it was looked at. So each connection that a message goes out through is looked at
as it is made: the name is resolved once, every address it has must be public, and one of those is connected
to. Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet", case 2.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import urllib3.util.connection
from django.conf import settings

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_guarded: ContextVar[bool] = ContextVar("alerts_guarded", default=False)
_connect = urllib3.util.connection.create_connection


class PrivateAddress(OSError):
    """An address is not one of the public network."""


def host_check(*, host: str, port: int) -> list[str]:
    """Return the addresses of a host, all of them public unless this server allows others.

    :raises PrivateAddress: one is not public
    :raises OSError: the name has no address
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not settings.ALERTS_ALLOW_PRIVATE:
        for address in addresses:
            if not address_public(address=address):
                msg = "the address is not one of the public network"
                raise PrivateAddress(msg)
    return addresses


def address_public(*, address: str) -> bool:
    """Tell whether an IP address is one of the public network, also where it wraps one of IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return address_public(address=str(inner))
    return ip.is_global and not ip.is_multicast


def guard_install() -> None:
    """Let the connections of urllib3, which everything that sends stands on, pass through here."""
    urllib3.util.connection.create_connection = _guarded_connection


@contextmanager
def guarded_connections() -> Iterator[None]:
    """Within this, in this thread, connections are made to public addresses alone."""
    token = _guarded.set(True)
    try:
        yield
    finally:
        _guarded.reset(token)


def guard_active() -> bool:
    """Tell whether this thread is sending a message now."""
    return _guarded.get()


def _guarded_connection(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
    if not _guarded.get():
        return _connect(address, *args, **kwargs)
    host, port = address
    problem: OSError = OSError("the name has no address")
    for found in host_check(host=host.strip("[]"), port=port):
        try:
            return _connect((found, port), *args, **kwargs)
        except OSError as error:
            problem = error
    raise problem
