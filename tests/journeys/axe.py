"""axe-core in a page under the site's own policy: the script comes through the debugger, not the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import axe_playwright_python

SOURCE: Final = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# What another theme or width can change: colours, and what lies how close beside what.
LOOKS: Final = ("color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable")
_RUN: Final = """async ([part, tags, rules]) => {
  const runOnly = rules.length ? { type: "rule", values: rules } : { type: "tag", values: tags };
  const found = await axe.run(part || document, { runOnly, rules: { "target-size": { enabled: true } }, resultTypes: ["violations"] });
  return found.violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, html, any, all }) => `${id} (${help}): ${target.join(" ")} ${html.slice(0, 160)} ${[...any, ...all].map(({ message }) => message).join("; ").slice(0, 200)}`));
}"""  # noqa: E501


def axe_find(page: Any, *, part: str = "", looks_only: bool = False) -> list[str]:
    """What axe objects to in the page as it stands, WCAG 2.2 A, AA and best practices: a line per element.

    :param part: a selector; without one the whole page is looked at
    :param looks_only: only the rules a theme or a width can change
    """
    if not page.evaluate("() => 'axe' in globalThis"):
        page.evaluate(SOURCE)
    rules = [] if not looks_only else list(LOOKS)
    return list(page.evaluate(_RUN, [part, list(TAGS), rules]))
