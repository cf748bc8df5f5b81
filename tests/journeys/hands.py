"""How a person works a page: with a pointer."""

from __future__ import annotations

from typing import Any


class Pointer:
    """Clicks, or touches."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, control: Any) -> None:
        """Press a button, a link or a summary."""
        control.click()

    def write(self, field: Any, text: str) -> None:
        """Put a text in place of what stands in a field."""
        field.fill(text)

    def choose(self, option: Any) -> None:
        """Choose a radio button by its label."""
        option.locator("xpath=ancestor::label").click()
