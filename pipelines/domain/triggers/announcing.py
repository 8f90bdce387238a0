"""From what is true to what is told: once a crossing, through the gate, and held to the end of quiet hours.

Theory of operation. A *crossing* opens when a condition becomes true, and closes when it is not true any more; only
then can it open again. An open crossing was sent, was refused, or is held. A held one stays open until it is released,
whatever happens meanwhile, and the gate looks at it anew; so what was redeemed at 00:30 is suppressed at 06:00.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.domain.calendar import local_day
from pipelines.domain.programme import HOUR_MS
from pipelines.domain.triggers.condition import Condition, Figures
from pipelines.domain.triggers.gate import Suppression, held_out, quiet_until_ms, refusal, variant
from pipelines.domain.triggers.kinds import KINDS
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Crossing, Flicker, Sent, Watch


class Trigger(NamedTuple):
    """A member should be told this now; whoever sends it must not do so from `expires_at_ms` on.

    `trigger_id` derives from the member, the kind, the subject and the instant of the crossing; what has crossed and
    cleared in that very instant before has a `.1` behind it, a `.2`. `facts` are the ids of
    what made it true, `figures` what a message needs, so that nobody has to look anything up.
    """

    trigger_id: str
    member_id: str
    market: str
    kind: TriggerKind
    subject: str
    purpose: str
    channel: str
    crossed_at_ms: int
    recorded_at_ms: int
    expires_at_ms: int
    experiment: str | None
    variant: str | None
    facts: tuple[str, ...]
    figures: Figures


class SuppressedTrigger(NamedTuple):
    """The trigger that was not sent, and the gate's reason; `facts` and `figures` are empty when it was not true."""

    trigger_id: str
    member_id: str
    market: str
    kind: TriggerKind
    subject: str
    purpose: str
    channel: str
    crossed_at_ms: int
    recorded_at_ms: int
    expires_at_ms: int
    experiment: str | None
    variant: str | None
    facts: tuple[str, ...]
    figures: Figures
    reason: Suppression


Told = Trigger | SuppressedTrigger
Name = tuple[TriggerKind, str]
_NOT_TRUE = Condition("", (), ())


def announce(watch: Watch, rules: TriggerRules) -> list[Told]:
    """Compare what is true at the watch's now with the crossings that are open; what is to be told of it."""
    at_ms = watch.now_ms
    true = {(kind, condition.subject): condition for kind, condition in _true(watch, rules)}
    watch.flickers = {key: flicker for key, flicker in watch.flickers.items() if flicker.at_ms == at_ms}
    told: list[Told] = []
    for key, crossing in list(watch.crossings.items()):
        name = _name_of(key)
        if name[0] not in rules.kinds:
            del watch.crossings[key]
        elif crossing.held_until_ms is not None:
            if at_ms >= crossing.held_until_ms:
                told += _release(watch, rules, name, crossing, true.get(name))
        elif name not in true:
            told += _close(watch, rules, name, crossing)
    for name, condition in true.items():
        if _key(name) not in watch.crossings:
            told += _open(watch, rules, name, Crossing(_crossing_id(watch, name), at_ms), condition)
    return told


def _true(watch: Watch, rules: TriggerRules) -> Iterator[tuple[TriggerKind, Condition]]:
    """All that is true, in the order of the programme's kinds: the first ones pass a cap first."""
    if not watch.listens:
        return
    for name in rules.kinds:
        for condition in KINDS[name].conditions(watch, rules, watch.now_ms):
            if condition.until_ms is None or watch.now_ms < condition.until_ms:
                yield name, condition


def next_instant_ms(watch: Watch, rules: TriggerRules) -> int | None:
    """The next instant after the watch's now at which time alone may have something told."""
    held = [c.held_until_ms for c in watch.crossings.values() if c.held_until_ms is not None]
    if not watch.listens:
        return min(held, default=None)
    found = [at for name in rules.kinds for at in KINDS[name].instants(watch, rules) if at > watch.now_ms]
    return min((*found, *held), default=None)


def _key(name: Name) -> str:
    return f"{name[0].value}/{name[1]}"


def _name_of(key: str) -> Name:
    kind, subject = key.split("/", 1)
    return TriggerKind(kind), subject


def _crossing_id(watch: Watch, name: Name) -> str:
    """Its own for each crossing, also of a condition that clears and comes back within a millisecond."""
    flicker = watch.flickers.get(_key(name))
    again = "" if flicker is None else f".{flicker.times}"
    return f"{watch.member_id}/{_key(name)}@{watch.now_ms}{again}"


def _open(
    watch: Watch, rules: TriggerRules, name: Name, crossing: Crossing, condition: Condition
) -> Iterator[Told]:
    """Through the gate with it: refused, held to the end of quiet hours, or sent."""
    at_ms, (kind, _) = watch.now_ms, name
    if (reason := refusal(watch, rules, kind, at_ms, true=True)) is not None:
        watch.crossings[_key(name)] = crossing
        yield _suppressed(watch, rules, name, crossing, condition, reason)
    elif (until_ms := quiet_until_ms(rules.quiet, at_ms, watch.zone)) is not None:
        watch.crossings[_key(name)] = crossing._replace(held_until_ms=until_ms)
    else:
        yield _send(watch, rules, name, crossing, condition)


def _release(
    watch: Watch, rules: TriggerRules, name: Name, crossing: Crossing, condition: Condition | None
) -> Iterator[Told]:
    """Quiet hours are over: the whole gate again, with what is true now."""
    del watch.crossings[_key(name)]
    crossing = crossing._replace(held_until_ms=None)
    if condition is not None:
        yield from _open(watch, rules, name, crossing, condition)
        return
    reason = refusal(watch, rules, name[0], watch.now_ms, true=False)
    assert reason is not None
    yield _suppressed(watch, rules, name, crossing, _NOT_TRUE, reason)


def _close(watch: Watch, rules: TriggerRules, name: Name, crossing: Crossing) -> Iterator[Told]:
    """It is not true any more: it may cross again, and whoever has not sent it yet must not."""
    del watch.crossings[_key(name)]
    if crossing.at_ms == watch.now_ms:
        before = watch.flickers.get(_key(name), Flicker(watch.now_ms, 0))
        watch.flickers[_key(name)] = before._replace(times=before.times + 1)
    if crossing.sent_at_ms is not None and watch.now_ms < crossing.expires_at_ms:
        yield _suppressed(watch, rules, name, crossing, _NOT_TRUE, Suppression.WITHDRAWN)


def _send(watch: Watch, rules: TriggerRules, name: Name, crossing: Crossing, condition: Condition) -> Trigger:
    at_ms, (kind, _) = watch.now_ms, name
    trigger = Trigger(*_head(watch, rules, name, crossing, condition))
    watch.crossings[_key(name)] = crossing._replace(sent_at_ms=at_ms, expires_at_ms=trigger.expires_at_ms)
    today, longest = local_day(at_ms, watch.zone), max((cap.days for cap in rules.caps), default=0)
    watch.sent = [sent for sent in watch.sent if today - longest < sent.day]
    watch.sent.append(Sent(today, kind, rules.kinds[kind].channel))
    return trigger


def _suppressed(
    watch: Watch,
    rules: TriggerRules,
    name: Name,
    crossing: Crossing,
    condition: Condition,
    reason: Suppression,
) -> SuppressedTrigger:
    return SuppressedTrigger(*_head(watch, rules, name, crossing, condition), reason)


def _head(watch: Watch, rules: TriggerRules, name: Name, crossing: Crossing, condition: Condition) -> Trigger:
    kind, subject = name
    of, at_ms = rules.kinds[kind], watch.now_ms
    ends_ms = at_ms + of.lives_hours * HOUR_MS
    return Trigger(
        crossing.trigger_id,
        watch.member_id,
        "" if watch.membership is None else watch.membership.market,
        kind,
        subject,
        of.purpose,
        of.channel,
        crossing.at_ms,
        at_ms,
        crossing.expires_at_ms or min(ends_ms, condition.until_ms or ends_ms),
        None if of.experiment is None else of.experiment.name,
        None if held_out(of.experiment, watch.member_id) else variant(of.experiment, watch.member_id),
        condition.facts,
        condition.figures,
    )
