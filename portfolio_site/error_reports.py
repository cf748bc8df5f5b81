"""What an error report may show: where it happened, never with what.

Django hides marked variables only while DEBUG is off, and knows nothing of libraries that sign requests. A
server with real keys in its memory shows no local variable and no form field of anybody, in either mode.
"""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class ClosedReports(SafeExceptionReporterFilter):
    """The error page and error mails without variables, form fields, cookies and settings that are secret."""

    def is_active(self, request: HttpRequest | None) -> bool:
        """Hide always."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        """Return the names of what was sent."""
        if request is None:
            return {}
        return dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(  # type: ignore[override]
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> list[tuple[str, Any]]:
        """Return the names of a frame's variables."""
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
