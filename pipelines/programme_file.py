"""Reads a programme file. Every mistake is told by its file, line and key, with what is allowed there.

Numbers are read from their text, never through a float: `25 %`, `1/3` and `0.25` are exact.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipelines.domain.facts import EngagementKind, Verification
from pipelines.domain.programme import (
    ActivityRule,
    Campaign,
    Clawback,
    Downgrade,
    Expiry,
    OnceRule,
    Programme,
    ProgrammeVersion,
    Rate,
    Rounding,
    Stacking,
    ThresholdBonus,
    TierLevel,
    Window,
    WindowKind,
)
from pipelines.domain.triggers.gate import BUCKETS
from pipelines.domain.triggers.rules import (
    Cap,
    Experiment,
    KindRules,
    Quiet,
    TriggerKind,
    TriggerRules,
    Variant,
)
from pipelines.failure import Failure

WHOLE_MAX = 10**9
MONTHS_MAX = 1_200
DAYS_MAX = 36_500
"""A hundred years: calendars end in 9999, and facts are taken until 9000."""
_WHOLE = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_FRACTION = re.compile(r"-?[0-9]{1,10}(/[0-9]{1,10}|\.[0-9]{1,10})?", re.ASCII)
ALONG = Path(__file__).parent / "programmes"
E = TypeVar("E", bound=StrEnum)


def load_programme(named: Path) -> Programme:
    """The programme of a file, or the one of this name that comes along (`reference`, `demo`)."""
    path = named if named.is_file() else ALONG / f"{named}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in ALONG.glob("*.yaml")))
        raise Failure(f"there is no programme {named}", f"give a file, or one of: {names}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}", "give a file of YAML, in UTF-8") from error
    return parse_programme(text, str(path))


def parse_programme(text: str, file: str) -> Programme:
    """The programme in `text`; `file` is how messages call it."""
    try:
        node = YAML(pure=True).compose(text)
    except MarkedYAMLError as error:
        line = (error.problem_mark.line if error.problem_mark else 0) + 1
        raise Failure(f"{file}:{line}: this is not YAML: {error.problem}", "correct the line") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Failure(f"{file}:{line}: this is not YAML: {error.reason}", "correct the line") from error
    return _programme(Place(node, file, ""))


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the file, and the way to it."""

    node: Any
    file: str
    path: str

    def wrong(self, found: str, allowed: str) -> NoReturn:
        line = 1 if self.node is None else self.node.start_mark.line + 1
        raise Failure(f"{self.file}:{line}: {self.path or 'the programme'} {found}", f"allowed: {allowed}")

    def keys(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Place]:
        """The mapping here, which has all of `required` and else only `optional`."""
        found = self.mapping()
        for key, place in found.items():
            if key not in required and key not in optional:
                near = difflib.get_close_matches(key, [*required, *optional], 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                place.wrong(f"is a key that nobody knows{hint}", ", ".join([*required, *optional]))
        for key in required:
            if key not in found:
                self.wrong(f"has no {key!r}", f"{key!r} must be given here")
        return found

    def mapping(self) -> dict[str, Place]:
        if not isinstance(self.node, MappingNode):
            self.wrong("is not a mapping", "key: value pairs")
        found: dict[str, Place] = {}
        for key, value in self.node.value:
            if not isinstance(key, ScalarNode):
                Place(key, self.file, self.path).wrong("has a key that is not a text", "key: value pairs")
            place = Place(value, self.file, f"{self.path}.{key.value}".lstrip("."))
            if key.value in found:
                place.wrong("is given twice", "each key once")
            found[key.value] = place
        return found

    def items(self) -> list[Place]:
        if not isinstance(self.node, SequenceNode):
            self.wrong("is not a list", "a list")
        return [Place(node, self.file, f"{self.path}[{n}]") for n, node in enumerate(self.node.value)]

    def text(self) -> str:
        if not isinstance(self.node, ScalarNode) or not str(self.node.value).strip():
            self.wrong("is not a text", "a text")
        return str(self.node.value).strip()

    def whole(self, least: int = 0, most: int = WHOLE_MAX) -> int:
        text = self.text()
        known = _WHOLE.fullmatch(text) is not None
        if not known or not least <= int(text) <= most:
            self.wrong(f"is {text[:40]!r}", f"a whole number of at least {least} and at most {most:,}")
        return int(text)

    def fraction(self) -> Fraction:
        text = self.text()
        bare = text.removesuffix("%").strip()
        try:
            if _FRACTION.fullmatch(bare) is None:
                raise ValueError(bare)
            value = Fraction(bare)
        except (ValueError, ZeroDivisionError):
            self.wrong(f"is {text!r}", "an exact fraction: 25 %, 1/4 or 0.25")
        if value < 0:
            self.wrong(f"is {text!r}", "a fraction of at least 0")
        return value / 100 if text.endswith("%") else value

    def instant(self) -> int:
        text = self.text()
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.wrong(f"is {text!r}", "an instant such as 2026-03-01T00:00:00Z")
        if at.tzinfo is None:
            self.wrong(f"is {text!r}, without a zone", "an instant with Z or an offset: 2026-03-01T00:00:00Z")
        return round(at.timestamp() * 1000)

    def one_of(self, words: type[E]) -> E:
        text = self.text()
        if text not in {word.value for word in words}:
            self.wrong(f"is {text!r}", ", ".join(word.value for word in words))
        return words(text)

    def yes_or_no(self) -> bool:
        text = self.text()
        if text not in ("true", "false"):
            self.wrong(f"is {text!r}", "true or false")
        return text == "true"

    def zone(self) -> str:
        text = self.text()
        try:
            ZoneInfo(text)
        except (ValueError, OSError, LookupError):
            self.wrong(f"is {text!r}", "an IANA time zone such as Europe/Zurich")
        return text


def _programme(place: Place) -> Programme:
    required = ("name", "lateness_days", "return_days", "window", "downgrade", "versions")
    found = place.keys(required, ("triggers",))
    versions: list[ProgrammeVersion] = []
    for each in found["versions"].items():
        version = _version(each)
        if versions and version.effective_from_ms <= versions[-1].effective_from_ms:
            each.mapping()["effective_from"].wrong(
                "is not later than the version before it", "versions oldest first"
            )
        if any(v.version == version.version for v in versions):
            each.mapping()["version"].wrong(f"is {version.version!r} a second time", "a name of its own")
        if versions:
            _check_continues(versions[-1], version, each)
        versions.append(version)
    if not versions:
        found["versions"].wrong("is empty", "at least one version")
    return Programme(
        found["name"].text(),
        found["lateness_days"].whole(1, DAYS_MAX),
        found["return_days"].whole(1, DAYS_MAX),
        _window(found["window"]),
        _downgrade(found["downgrade"]),
        tuple(versions),
        _triggers(found["triggers"]) if "triggers" in found else None,
    )


def _check_continues(before: ProgrammeVersion, version: ProgrammeVersion, place: Place) -> None:
    """A member's tier and days outlive a version: tiers may be added on top, and the zone stays."""
    names = [tier.name for tier in before.tiers]
    if [tier.name for tier in version.tiers][: len(names)] != names:
        allowed = f"{', '.join(names)}, in this order, and any above them"
        place.mapping()["tiers"].wrong("are not those of the version before it", allowed)
    if version.zone != before.zone:
        place.mapping()["zone"].wrong(f"is {version.zone!r}", f"{before.zone}, as in the version before it")


def _window(place: Place) -> Window:
    found = place.keys(("kind",), ("months",))
    kind = found["kind"].one_of(WindowKind)
    if kind is WindowKind.ROLLING:
        return Window(kind, place.keys(("kind", "months"))["months"].whole(1, MONTHS_MAX))
    if "months" in found:
        found["months"].wrong("is given", f"no months: {kind} is a year")
    return Window(kind)


def _downgrade(place: Place) -> Downgrade | None:
    if isinstance(place.node, ScalarNode):
        if place.text() != "never":
            place.wrong(f"is {place.text()!r}", "never, or {grace_days: 60, levels: 1}")
        return None
    found = place.keys(("grace_days", "levels"))
    return Downgrade(found["grace_days"].whole(0, DAYS_MAX), found["levels"].whole(1))


def _version(place: Place) -> ProgrammeVersion:
    required = (
        "version",
        "effective_from",
        "zone",
        "rates",
        "markets",
        "tiers",
        "stacking",
        "welcome_points",
        "pending",
        "expiry",
        "clawback",
        "reservation_minutes",
    )
    found = place.keys(required, ("campaigns", "thresholds", "activities", "once"))
    rates = {currency: _rate(currency, at) for currency, at in found["rates"].mapping().items()}
    pending = found["pending"].keys(("days_from_delivery", "days_from_order_at_latest"))
    return ProgrammeVersion(
        version=found["version"].text(),
        effective_from_ms=found["effective_from"].instant(),
        zone=found["zone"].zone(),
        rates=rates,
        market_currency={m: _declared(at, rates) for m, at in found["markets"].mapping().items()},
        tiers=tuple(_tiers(found["tiers"])),
        stacking=found["stacking"].one_of(Stacking),
        campaigns=tuple(_campaign(at) for at in _unique(found.get("campaigns"))),
        thresholds=tuple(_threshold(at, rates) for at in _unique(found.get("thresholds"))),
        activities=tuple(_activity(at) for at in _unique(found.get("activities"))),
        once=tuple(_once(at) for at in _unique(found.get("once"))),
        welcome_points=found["welcome_points"].whole(),
        pending_days=pending["days_from_delivery"].whole(0, DAYS_MAX),
        pending_latest_days=pending["days_from_order_at_latest"].whole(0, DAYS_MAX),
        expiry=_expiry(found["expiry"]),
        clawback=found["clawback"].one_of(Clawback),
        reservation_minutes=found["reservation_minutes"].whole(1),
    )


def _unique(place: Place | None) -> Iterator[Place]:
    """The items of a list that may be missing; each has an id of its own."""
    seen: set[str] = set()
    for item in place.items() if place else ():
        name = item.mapping().get("id", item).text() if "id" in item.mapping() else ""
        if name in seen:
            item.mapping()["id"].wrong(f"is {name!r} a second time", "an id of its own")
        seen.add(name)
        yield item


def _rate(currency: str, place: Place) -> Rate:
    if len(currency) != 3 or not currency.isascii() or not currency.isupper():
        place.wrong(f"is for {currency!r}", "an ISO 4217 code of three capital letters")
    found = place.keys(("points", "per_minor"))
    return Rate(currency, found["points"].whole(1), found["per_minor"].whole(1))


def _declared(place: Place, rates: dict[str, Rate]) -> str:
    currency = place.text()
    if currency not in rates:
        place.wrong(f"is {currency!r}, which has no rate", ", ".join(rates))
    return currency


def _expiry(place: Place) -> Expiry | None:
    if isinstance(place.node, ScalarNode):
        if place.text() != "never":
            place.wrong(f"is {place.text()!r}", "never, or {months: 12, end_of: month}")
        return None
    found = place.keys(("months", "end_of"))
    return Expiry(found["months"].whole(1, MONTHS_MAX), found["end_of"].one_of(Rounding))


def _tiers(place: Place) -> Iterator[TierLevel]:
    before = -1
    names: set[str] = set()
    for n, each in enumerate(place.items()):
        found = each.keys(("name", "threshold", "bonus"))
        tier = TierLevel(found["name"].text(), found["threshold"].whole(), found["bonus"].fraction())
        if n == 0 and tier.threshold != 0:
            found["threshold"].wrong(f"is {tier.threshold}", "0 for the first tier")
        if tier.threshold <= before:
            found["threshold"].wrong(f"is {tier.threshold}", f"more than {before}, the tier's before it")
        if tier.name in names:
            found["name"].wrong(f"is {tier.name!r} a second time", "a name of its own")
        before = tier.threshold
        names.add(tier.name)
        yield tier
    if not names:
        place.wrong("is empty", "at least one tier")


def _span(found: dict[str, Place]) -> tuple[int, int]:
    starts, ends = found["starts_at"].instant(), found["ends_at"].instant()
    if ends <= starts:
        found["ends_at"].wrong("is not after starts_at", "a later instant")
    return starts, ends


def _campaign(place: Place) -> Campaign:
    found = place.keys(("id", "bonus", "starts_at", "ends_at"), ("category",))
    category = found["category"].text() if "category" in found else None
    return Campaign(found["id"].text(), found["bonus"].fraction(), category, *_span(found))


def _threshold(place: Place, rates: dict[str, Rate]) -> ThresholdBonus:
    found = place.keys(("id", "points", "currency", "from_minor", "starts_at", "ends_at"))
    currency = _declared(found["currency"], rates)
    points, from_minor = found["points"].whole(1), found["from_minor"].whole(1)
    return ThresholdBonus(found["id"].text(), points, currency, from_minor, *_span(found))


def _activity(place: Place) -> ActivityRule:
    found = place.keys(("id", "kind", "points", "per_m", "cap_per_day", "verifications"))
    return ActivityRule(
        found["id"].text(),
        found["kind"].one_of(EngagementKind),
        found["points"].whole(1),
        found["per_m"].whole(1),
        found["cap_per_day"].whole(1),
        frozenset(at.one_of(Verification) for at in found["verifications"].items()),
    )


def _once(place: Place) -> OnceRule:
    found = place.keys(("id", "kind", "points", "per_subject"))
    return OnceRule(
        found["id"].text(),
        found["kind"].one_of(EngagementKind),
        found["points"].whole(1),
        found["per_subject"].yes_or_no(),
    )


def _triggers(place: Place) -> TriggerRules:
    required = (
        "kinds",
        "near_points",
        "lapsing_days",
        "expiring",
        "win_back_days",
        "review_days",
        "streak_weeks",
        "shoe_km",
    )
    found = place.keys(required, ("caps", "quiet"))
    kinds = found["kinds"].keys((), [kind.value for kind in TriggerKind])
    expiring = found["expiring"].keys(("days", "points_min"))
    streaks = [at.whole(1) for at in found["streak_weeks"].items()]
    if streaks != sorted(set(streaks)):
        found["streak_weeks"].wrong(f"is {streaks}", "ascending whole numbers, each once")
    return TriggerRules(
        kinds={TriggerKind(name): _kind(at) for name, at in kinds.items()},
        caps=tuple(_cap(at) for at in found["caps"].items()) if "caps" in found else (),
        quiet=_quiet(found["quiet"]) if "quiet" in found else None,
        near_points=found["near_points"].whole(1),
        lapsing_days=found["lapsing_days"].whole(1, DAYS_MAX),
        expiring_days=expiring["days"].whole(1, DAYS_MAX),
        expiring_points_min=expiring["points_min"].whole(1),
        win_back_days=found["win_back_days"].whole(1, DAYS_MAX),
        review_days=found["review_days"].whole(0, DAYS_MAX),
        streak_weeks=tuple(streaks),
        shoe_m={category: at.whole(1) * 1_000 for category, at in found["shoe_km"].mapping().items()},
    )


def _kind(place: Place) -> KindRules:
    found = place.keys(("purpose", "channel", "lives_hours"), ("experiment",))
    experiment = _experiment(found["experiment"]) if "experiment" in found else None
    return KindRules(
        found["purpose"].text(), found["channel"].text(), found["lives_hours"].whole(1), experiment
    )


def _experiment(place: Place) -> Experiment:
    found = place.keys(("name", "holdout_bp"), ("variants",))
    holdout_bp = found["holdout_bp"].whole()
    if holdout_bp > BUCKETS:
        found["holdout_bp"].wrong(f"is {holdout_bp}", f"at most {BUCKETS}: a share in basis points")
    variants = found["variants"].mapping() if "variants" in found else {}
    shares = tuple(Variant(name, at.whole(1)) for name, at in variants.items())
    return Experiment(found["name"].text(), holdout_bp, shares)


def _cap(place: Place) -> Cap:
    found = place.keys(("most", "days"), ("kind", "channel"))
    return Cap(
        found["most"].whole(1),
        found["days"].whole(1, DAYS_MAX),
        found["kind"].one_of(TriggerKind) if "kind" in found else None,
        found["channel"].text() if "channel" in found else None,
    )


def _quiet(place: Place) -> Quiet:
    found = place.keys(("from", "to"))
    begins, ends = _minute(found["from"]), _minute(found["to"])
    if begins == ends:
        found["to"].wrong("is when they begin", "another time of day")
    return Quiet(begins, ends)


def _minute(place: Place) -> int:
    text = place.text()
    try:
        at = time.fromisoformat(text)
    except ValueError:
        place.wrong(f"is {text!r}", 'a time of day such as "22:00"')
    return at.hour * 60 + at.minute
