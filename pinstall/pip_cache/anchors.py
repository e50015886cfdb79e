"""A parser that collects the anchors of an HTML index page."""

from __future__ import annotations

from html.parser import HTMLParser


class Anchors(HTMLParser):
    """Collect the anchors and the first base URL of a page, as pip's ``HTMLLinkParser`` does (``index/collector.py``).

    ``anchors`` has a dict of the attributes of each ``<a>``; ``base`` is the ``href`` of the first ``<base>`` that has
    one, else None.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.anchors: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store the attributes of an ``<a>``, and the ``href`` of the first ``<base>`` that has one. Ignore other tags."""
        if tag == "a":
            self.anchors.append(dict(attrs))
        elif tag == "base" and self.base is None:
            self.base = next((value for name, value in attrs if name == "href" and value is not None), None)
