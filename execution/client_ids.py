"""Client order ids: made so that we know our own again, and written in the form each venue allows.

Ours are 0x and 32 hex digits: 80 random bits, and 48 bits of an HMAC of them under this installation's key.
So an order that we find at a venue and do not know is either ours (its bits agree) and lost, or somebody
else's, the owner's own or another installation's, and not to be touched. By chance one foreign id in
2.8 x 10^14 would pass for ours.
"""

from __future__ import annotations

import re
from typing import Final

from django.conf import settings

from core import ids

_OURS: Final = re.compile(r"^0x[0-9a-f]{32}$")
_HEX: Final = re.compile(r"^[0-9a-f]{32}$")
_UUID: Final = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
# How a venue wants client ids, where not as we make them (34 characters of 0-9, a-f and x). Sources: the
# venues' API references of "place order": Kraken cl_ord_id, OKX clOrdId (32 letters and digits), Coinbase
# client_order_id (a UUID). Binance, Bybit, KuCoin and Bitget take ours as they are; Hyperliquid's are ours.
_FORMS: Final = {"kraken": "hex", "okx": "hex", "coinbase": "uuid"}


def client_order_id_new() -> str:
    """Return a fresh client order id that :func:`is_ours` will know again."""
    return ids.client_order_id_new(key=_key())


def is_ours(client_order_id: str) -> bool:
    """Tell whether this installation made a client order id."""
    return ids.client_order_id_made_with(client_order_id, key=_key())


def venue_form(*, client_order_id: str, venue: str) -> str:
    """Return how one of our client ids is written at a venue."""
    form = _FORMS.get(venue)
    if form is None or not _OURS.fullmatch(client_order_id):
        return client_order_id
    bare = client_order_id[2:]
    if form == "hex":
        return bare
    return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))


def client_form(*, venue_id: str, venue: str) -> str:
    """Return the client id behind what a venue shows; one that cannot be ours stays as it is."""
    form = _FORMS.get(venue)
    if form == "hex" and _HEX.fullmatch(venue_id):
        return f"0x{venue_id}"
    if form == "uuid" and _UUID.fullmatch(venue_id):
        return f"0x{venue_id.replace('-', '')}"
    return venue_id


def _key() -> bytes:
    return f"client order ids\n{settings.INSTALLATION_KEY}".encode()
