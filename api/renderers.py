"""JSON whose sentences are in the language the program asked for; names, codes and numbers are the same in
each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer

from accounts.words import said_within


class SaidRenderer(JSONRenderer):
    """Says reasons, refusals and answers by Accept-Language; everything else is for machines and stays."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body."""
        return super().render(said_within(data), accepted_media_type, renderer_context)
