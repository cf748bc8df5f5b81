"""What a browser calls itself, in a few words a person recognises.

Only the commonest are told apart. What is not known is said to be unknown rather than guessed at: the words
stand in a list of sessions and in an alarm, where a wrong guess misleads.
"""

from __future__ import annotations

from typing import Final

# Order matters: most browsers also carry the names of those they descend from.
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-", "Python"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def device_text(*, user_agent: str) -> str:
    """Return a browser and its system in words, as "Firefox on Linux"; "Unknown device" for neither.

    :param user_agent: the header as it came; whoever sends it chooses it, so it proves nothing
    """
    browser = _first(user_agent, _BROWSERS)
    system = _first(user_agent, _SYSTEMS)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"


def _first(user_agent: str, names: tuple[tuple[str, str], ...]) -> str:
    return next((name for mark, name in names if mark in user_agent), "")
