"""Every page is pictured and tried for accessibility: a route without a line in the catalogue fails here."""

from tests.journeys.catalogue import NO_PAGE, PAGES, routes_of_pages


def test_every_route_is_listed() -> None:
    """VIEW-4: a new page has a line, or stands among what has no page and says why."""
    shown = {page.route for page in PAGES}
    assert sorted(routes_of_pages() - shown - set(NO_PAGE)) == []


def test_no_line_is_left_over() -> None:
    """A line names a route that is there, once as a page or once as none."""
    shown = {page.route for page in PAGES}
    assert sorted((shown | set(NO_PAGE)) - routes_of_pages()) == []
    assert sorted(shown & set(NO_PAGE)) == []
    names = [page.name for page in PAGES]
    assert sorted({name for name in names if names.count(name) > 1}) == []
