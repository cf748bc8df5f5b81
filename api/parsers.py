"""Reading request bodies, with a limit."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any, Final

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from api.exceptions import BodyTooLarge

MAX_BODY_BYTES: Final = 64 * 1024


class LimitedJSONParser(JSONParser):
    """JSON of at most 64 KiB; Django's own limit does not reach bodies read as a stream."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the decoded body.

        :raises BodyTooLarge: the body is longer than the limit
        :raises ParseError: the body is not JSON
        """
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
