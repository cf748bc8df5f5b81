"""What an answer says to a person, for tests that compare two of them."""

import re
from typing import Any


def text_of(answer: Any) -> str:
    """Return a page's text without the address asked for and the token of its forms, new on every page."""
    text = answer.content.decode().replace(answer.request["PATH_INFO"], "…")
    return re.sub(r'csrfmiddlewaretoken" value="\w+', "", text)
