"""The site's files, made whole before the first is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.failure import Failure
from pipelines.grants import ROLES, user
from pipelines.operations.asyncapi import ABOUT, asyncapi_file
from pipelines.operations.contracts import on_topics, readme, users
from pipelines.operations.site import lineage, words
from pipelines.operations.site.markdown import Markdown, Places
from pipelines.topics import PARTITIONS, PIPELINES, Topic, topics
from schemas import catalogue

_HERE: Final = Path(__file__).parent
_TEXTS: Final = (_HERE / "texts", _HERE.parents[2])
"""Where the texts of the repository are: in the wheel, or in the source tree."""

DOCUMENTS: Final = {
    "docs/consumers/README.md": "consumers.html",
    "docs/NEW-EVENTS.md": "new-events.html",
    "docs/DEAD-LETTERS.md": "dead-letters.html",
    "docs/PERSONAL-DATA.md": "personal-data.html",
    "docs/SECURITY.md": "security.html",
    "docs/GLOSSARY.md": "glossary.html",
}
"""Texts that stand in the site as they are, by the page that they become."""

CHANGELOG: Final = "CHANGELOG.md"
ERROR_CLASSES: Final = "docs/DEAD-LETTERS.md"
ASYNCAPI: Final = "asyncapi.yaml"


def write_site(folder: Path) -> int:
    """Write the site into a folder, made when it is not there; how many files. What else lies there stays."""
    made = dict(files())
    try:
        for name, text in made.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(
            f"the catalogue cannot be written to {folder}: {error.strerror}", "give a folder to write to"
        ) from error
    return len(made)


def files() -> Iterator[tuple[str, str]]:
    """Every file of the site by its path in it."""
    site = Site()
    yield "index.html", site.index()
    yield "lineage.html", site.page("lineage.html", drawing=lineage.drawing())
    yield "pipelines.html", site.pipelines()
    for topic in site.topics.values():
        yield f"{topic.name}.html", site.topic(topic)
    for source, name in DOCUMENTS.items():
        yield name, site.document(source)
    for path in site.contracts():
        yield f"schemas/{path.parent.name}/{path.name}", path.read_text(encoding="utf-8")
    yield ASYNCAPI, asyncapi_file()
    yield "style.css", _style("style.css") + _style("lineage.css")


def picture() -> str:
    """The lineage as an SVG of its own, for a page of docs/."""
    return Site().render("lineage.svg", drawing=lineage.drawing(), style=_style("lineage.css"), linked=False)


def _style(name: str) -> str:
    return (_HERE / "templates" / name).read_text(encoding="utf-8")


def text_of(path: str) -> str:
    """A text of the repository, which the wheel brings along."""
    return next(root / path for root in _TEXTS if (root / path).exists()).read_text(encoding="utf-8")


class Site:
    """Renders pages; a page knows where all others are."""

    def __init__(self) -> None:
        self.topics = {topic.name: topic for topic in topics() if topic.name in catalogue.TOPICS}
        self.markdown = Markdown(self._places())
        self._environment = Environment(
            loader=PackageLoader("pipelines.operations.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"duration": words.duration}

    def contracts(self) -> Iterator[Path]:
        """The files of all schemas and examples."""
        for topic in self.topics:
            for _, path in catalogue.versions(topic):
                yield from (path, path.with_name(f"{path.stem}.example.json"))

    def _places(self) -> Places:
        found = {f"schemas/{topic}/README.md": f"{topic}.html" for topic in self.topics}
        files_ = {f"schemas/{path.parent.name}/{path.name}" for path in self.contracts()}
        return found | {name: name for name in files_} | DOCUMENTS | {f"docs/{ASYNCAPI}": ASYNCAPI}

    def render(self, template: str, **told: Any) -> str:
        return self._environment.get_template(template).render(**told)

    def page(self, template: str, **told: Any) -> str:
        """A page with the site's frame around it."""
        return self.render(template, here=template, documents=self._titles(), **told)

    def _titles(self) -> dict[str, str]:
        """The titles of the texts, by their pages."""
        return {page: text_of(source).split("\n")[0].removeprefix("# ") for source, page in DOCUMENTS.items()}

    def document(self, source: str) -> str:
        text = self.markdown.page(text_of(source), source)
        return self.page("document.html", title=self._titles()[DOCUMENTS[source]], text=text)

    def index(self) -> str:
        """Topics by who writes them, with all words by which one is looked for."""
        found = [self._card(topic) for topic in self.topics]
        groups: dict[str, list[dict[str, Any]]] = {}
        for card in found:
            groups.setdefault(card["writer"], []).append(card)
        about = self.markdown.page(ABOUT, f"docs/{ASYNCAPI}")
        return self.page("index.html", about=about, groups=groups, drawing=lineage.drawing())

    def _card(self, topic: str) -> dict[str, Any]:
        schema, made = json.loads(catalogue.released(topic)), lineage.writer(topic)
        told = " ".join(f"{field.path} {field.meaning}" for field in words.fields(schema))
        return {
            "topic": topic,
            "doc": self.markdown.line(schema["doc"], f"schemas/{topic}/README.md"),
            "kept": self.topics[topic].config["cleanup.policy"],
            "version": catalogue.versions(topic)[-1][0],
            "writer": made.name if made else "",
            "search": f"{topic} {schema['doc']} {told}".lower(),
        }

    def topic(self, topic: Topic) -> str:
        """All of a topic on a page."""
        name, at = topic.name, f"schemas/{topic.name}/README.md"
        schema, told = json.loads(catalogue.released(name)), readme(name)
        number, path = catalogue.versions(name)[-1]
        example = json.loads(path.with_name(f"v{number}.example.json").read_text(encoding="utf-8"))
        return self.page(
            "topic.html",
            topic=name,
            doc=self.markdown.line(schema["doc"], at),
            rows={row: self.markdown.line(text, at) for row, text in told.rows.items()},
            notes=self.markdown.page(told.notes, at),
            wire=self.markdown.page(told.bytes, at),
            partitions=PARTITIONS,
            kept=words.kept(topic.config),
            config=[
                (key, value, words.configured(key, value)) for key, value in sorted(topic.config.items())
            ],
            fields=[(field, self.markdown.line(field.meaning, at)) for field in words.fields(schema)],
            example=json.dumps(example, indent=2, ensure_ascii=False),
            versions=[(v, [self.markdown.line(c, at) for c in v.changes]) for v in words.versions(name)],
            changes=self._changes(name),
            classes=self._error_classes() if name == catalogue.DEAD_LETTERS else "",
            is_input=name in catalogue.INPUTS,
            dead_letters=catalogue.DEAD_LETTERS,
            may_write=users("WRITE", name),
            may_read=users("READ", name),
            subject=catalogue.subject(name),
            drawing=lineage.drawing((name,)),
            upstream=lineage.upstream(name),
            downstream=lineage.downstream(name),
        )

    def _changes(self, topic: str) -> list[tuple[str, list[Markup]]]:
        """What the changelog tells consumers of a topic, by release."""
        found = []
        for release in re.split(r"^## ", text_of(CHANGELOG), flags=re.MULTILINE)[1:]:
            title, _, text = release.partition("\n")
            told = re.search(r"^### Consumers\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
            points = re.split(r"^- ", told[1], flags=re.MULTILINE)[1:] if told else []
            if named := [
                self.markdown.line(point.strip(), CHANGELOG) for point in points if f"`{topic}`" in point
            ]:
                found.append((title, named))
        return found

    def _error_classes(self) -> Markup:
        """The part of a text that says what each class means."""
        text = text_of(ERROR_CLASSES).partition("## Error classes\n")[2]
        return self.markdown.page(text, ERROR_CLASSES)

    def pipelines(self) -> str:
        """What runs, what it reads and writes, and who may do what."""
        return self.page(
            "pipelines.html",
            pipelines=[(p, p.changelog("")) for p in PIPELINES.values()],
            roles=[(role, user(role), self._may(role)) for role in ROLES],
            warehouse=lineage.WAREHOUSE,
        )

    @staticmethod
    def _may(role: str) -> dict[str, list[str]]:
        """The topics that a role may read and write."""
        found: dict[str, list[str]] = {"READ": [], "WRITE": []}
        for grant in on_topics(role):
            found[grant.operation].append(grant.name)
        return found
