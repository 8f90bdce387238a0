"""Which seeds to live through: `--simulation-seeds N` of them, or the one of `--simulation-seed N` again."""

from __future__ import annotations

import pytest

TOGETHER = 50


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" not in metafunc.fixturenames:
        return
    one, count = (metafunc.config.getoption(f"--simulation-seed{s}") for s in ("", "s"))
    chosen = range(count) if one is None else range(one, one + 1)
    some = [chosen[n : n + TOGETHER] for n in range(0, len(chosen), TOGETHER)]
    metafunc.parametrize("seeds", some, ids=lambda r: f"{r.start}-{r.stop - 1}")
