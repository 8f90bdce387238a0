"""The command line of a build that is not made yet: `python -m tests.support.next_build KIND COMMAND ...`.

`layout`: one that raised the layout of the state; it writes the new one and reads both. `schemas`: one whose results
say something more, with a default. In all else it is this build.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from pipelines.cli.main import main
from schemas import catalogue, codec
from state import layout

NEXT_LAYOUT: Final = layout.LAYOUT + 1
SAYING: Final = (*catalogue.OUTPUTS, catalogue.HANDOVERS)
"""Topics with more in their schema than this build knows."""

Set = Callable[[Any, str, Any], None]
"""`setattr`, or a test's that takes it back."""


def with_a_field(schema: dict[str, Any], name: str = "gift_note") -> dict[str, Any]:
    added = {"name": name, "type": ["null", "string"], "default": None}
    return schema | {"fields": [*schema["fields"], added]}


def raise_layout(put: Set) -> None:
    """Its values have a byte more in front than this build's."""
    head, this = bytes([NEXT_LAYOUT, 0x2A]), layout._body
    put(layout, "_PREFIX", head)
    put(layout, "_body", lambda value: memoryview(value)[2:] if value[:2] == head else this(value))


def say_more(put: Set) -> None:
    this = catalogue.released

    def released(topic: str) -> str:
        return json.dumps(with_a_field(json.loads(this(topic)))) if topic in SAYING else this(topic)

    put(catalogue, "released", released)
    encoders = codec._ENCODERS.items()
    put(codec, "_ENCODERS", {k: (topic, _saying(f) if topic in SAYING else f) for k, (topic, f) in encoders})
    put(codec.Codec, "_handed_over", _saying(codec.Codec._handed_over))


def _saying(shaped: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """The fields of a record, and the one more."""
    return lambda *record: (*shaped(*record), None)


KINDS: Final = {"layout": raise_layout, "schemas": say_more}

if __name__ == "__main__":
    KINDS[sys.argv.pop(1)](setattr)
    main()
