"""The product's own Markdown as HTML: links lead to pages of the site, or are plain text where it has none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from posixpath import dirname, normpath
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from schemas import catalogue

Places = dict[str, str]
"""Where files of the repository stand in the site, by their paths in both."""

_ELSEWHERE: Final = re.compile(r"[a-z]+:", re.IGNORECASE)


def slug(heading: str) -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


class Markdown:
    """Renders text that stands in one file of the repository for any page of the site."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._parser = MarkdownIt("commonmark", {"html": False}).enable("table")

    def page(self, text: str, at: str) -> Markup:
        """A whole text; `at` is the file that it stands in, for links are relative to it."""
        tokens = self._parser.parse(text)
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "inline":
                token.children = list(self._linked(token.children or [], at))
                if before is not None and before.type == "heading_open":
                    before.attrSet("id", slug(token.content))
        return self._html(tokens)

    def line(self, text: str, at: str) -> Markup:
        """A sentence, without a paragraph around it."""
        tokens = self._parser.parseInline(text)
        for token in tokens:
            token.children = list(self._linked(token.children or [], at))
        return self._html(tokens)

    def _html(self, tokens: Sequence[Token]) -> Markup:
        return Markup(self._parser.renderer.render(tokens, self._parser.options, {}))

    def _linked(self, tokens: list[Token], at: str) -> Iterator[Token]:
        inside: list[bool] = []
        for token in tokens:
            if token.type == "link_open":
                href = self._place(str(token.attrGet("href")), at)
                inside.append(href is not None)
                token.attrSet("href", href or "")
            keep = inside[-1] if inside else True
            if token.type == "code_inline" and token.content in catalogue.TOPICS and not inside:
                yield from _around(token, f"{token.content}.html")
            elif keep or token.type not in ("link_open", "link_close"):
                yield token
            if token.type == "link_close":
                inside.pop()

    def _place(self, href: str, at: str) -> str | None:
        """Where a link of a file leads in the site; None where the site does not have it."""
        path, _, anchor = href.partition("#")
        if _ELSEWHERE.match(href):
            return None
        found = self.places.get(normpath(f"{dirname(at)}/{path}") if path else at)
        return found and f"{found}#{anchor}".removesuffix("#")


def _around(token: Token, href: str) -> Iterator[Token]:
    yield Token("link_open", "a", 1, attrs={"href": href})
    yield token
    yield Token("link_close", "a", -1)
