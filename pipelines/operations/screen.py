"""The live screen of `loyalty top`: looks each second, draws what it saw. It computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.widgets import Footer, Static

from pipelines.operations.looks import LATENCY_OVER_S, RATE_OVER_S, Figures
from pipelines.operations.picture import picture
from pipelines.operations.thresholds import Past

EVERY_S: Final = 1.0
SPANS: Final = f"facts/s over {RATE_OVER_S:g} s, latencies over {LATENCY_OVER_S:g} s"
Seen = tuple[Sequence[Figures], Sequence[Past]]


class Top(App[None]):
    """Draws what `look` sees, each second; `look` may take its time, for it runs in a thread."""

    TITLE = "loyalty top"
    CSS = "Static { width: auto; padding: 1 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, look: Callable[[], Seen]) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        yield ScrollableContainer(Static("looking …", id="workers"))
        yield Footer()

    def on_mount(self) -> None:
        self._refresh_workers()
        self.set_interval(EVERY_S, self._refresh_workers)

    @work(thread=True, exclusive=True, group="looking")
    def _refresh_workers(self) -> None:
        self.call_from_thread(self._draw, self._look())

    def _draw(self, seen: Seen) -> None:
        self.query_one("#workers", Static).update(picture(*seen, SPANS))
