"""A worker's settings. Each comes from the command line or from LOYALTY_WORKER_<NAME>; none has a default address or
path, and one that nobody knows is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.environment import named, refuse_unknown
from pipelines.failure import Failure
from pipelines.topics import PIPELINES, Pipeline, prefixed

PREFIX: Final = "LOYALTY_WORKER_"


class Settings(BaseSettings):
    """What one worker needs to know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bootstrap_servers: str
    schema_registry_url: str
    state_dir: Path
    replica: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,40}$")
    """Stable and unique among live workers: it names the transactional id and the group member."""
    processor: Literal["accounts", "triggers", "liability"] = "accounts"
    topic_prefix: str = ""
    commit_interval_ms: int = Field(default=500, ge=10, le=1_000)
    """The floor of latency. Must stay below any pause after which the group gives the partitions away."""
    poll_timeout_ms: int = Field(default=20, ge=1, le=1_000)
    session_timeout_ms: int = Field(default=30_000, ge=2_000, le=300_000)
    max_poll_interval_ms: int = Field(default=300_000, ge=6_000)
    transaction_timeout_ms: int = Field(default=15_000, ge=2_000, le=60_000)
    dead_letters_in_a_row_max: int = Field(default=100, ge=1)
    state_free_bytes_min: int = Field(default=256 << 20, ge=0)
    partition_buffer_max: int = Field(default=2_000, ge=1)
    write_buffer_bytes: int = Field(default=16 << 20, ge=1 << 20)
    block_cache_bytes: int = Field(default=256 << 20, ge=1 << 20)
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    """Where /metrics, /live and /ready are served; 0 takes a free one."""
    metrics_host: str = "127.0.0.1"
    watch_interval_ms: int = Field(default=5_000, ge=100, le=60_000)
    ready_lag_seconds_max: int = Field(default=300, ge=1)
    """Beyond it a worker is alive but not ready."""

    @model_validator(mode="after")
    def _times_fit(self) -> Settings:
        if self.commit_interval_ms >= self.session_timeout_ms:
            raise ValueError("commit_interval_ms must be less than session_timeout_ms")
        if self.session_timeout_ms > self.max_poll_interval_ms:
            raise ValueError("session_timeout_ms must not exceed max_poll_interval_ms")
        return self

    @property
    def pipeline(self) -> Pipeline:
        return PIPELINES[self.processor]

    @property
    def group(self) -> str:
        return prefixed(self.topic_prefix, self.pipeline.group)

    @property
    def changelog(self) -> str:
        return self.pipeline.changelog(self.topic_prefix)

    @property
    def transactional_id(self) -> str:
        return f"{self.group}-{self.replica}"


def settings(**given: Any) -> Settings:
    """Settings from the command line first, then the environment; a Failure names what is wrong."""
    refuse_unknown(PREFIX, Settings.model_fields)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = named(PREFIX, first["loc"], "the settings")
        raise Failure(
            f"{name}: {first['msg']} (found {first.get('input')!r})", "correct it and start again"
        ) from error
