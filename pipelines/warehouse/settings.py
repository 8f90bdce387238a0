"""Where the warehouse is. Each setting comes from LOYALTY_WAREHOUSE_<NAME>; without any, it is embedded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.environment import named, refuse_unknown
from pipelines.failure import Failure

PREFIX: Final = "LOYALTY_WAREHOUSE_"


class WarehouseSettings(BaseSettings):
    """What the sinks and the questions need to know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path
    """Where the embedded catalogue and tables lie."""
    catalogue: str = ""
    """`http(s)://…` of an Iceberg REST catalogue, or `postgresql+psycopg://…` or `sqlite:///…` of an SQL one."""
    location: str = ""
    """Where tables are kept: a folder, or `s3://bucket/path`."""
    namespace: str = Field(default="loyalty", pattern=r"^[a-z][a-z0-9_]{0,60}$")
    partition_by: Literal["day", "month"] = "day"
    """For tables that are made from now on. Months suit a programme with fewer than some thousand entries a day."""
    token: SecretStr | None = None
    credential: SecretStr | None = None
    rest_warehouse: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    postgres: SecretStr | None = None
    """Where the second sink writes: `postgresql://user:password@host:port/database`."""
    commit_interval_ms: int = Field(default=15_000, ge=100, le=600_000)
    """How long rows wait for others before they become visible together."""
    current_interval_ms: int = Field(default=60_000, ge=100, le=3_600_000)
    """The same for tables with a row a member in Iceberg: each commit writes such a table anew."""
    commit_rows_max: int = Field(default=200_000, ge=1)
    commit_bytes_max: int = Field(default=128 << 20, ge=1 << 20)

    metrics_host: str = "127.0.0.1"
    """Where a sink's /metrics, /live and /ready are served, when `--metrics-port` is given."""
    watch_interval_ms: int = Field(default=5_000, ge=100, le=60_000)
    silence_seconds_max: int = Field(default=600, ge=10)
    """A sink that neither asked for records nor tried to write them for so long is not alive."""
    ready_lag_seconds_max: int = Field(default=900, ge=1)
    """Beyond it a sink is alive but not ready."""

    @property
    def catalogue_uri(self) -> str:
        return self.catalogue or f"sqlite:///{self.home / 'catalogue.db'}"

    @property
    def tables_at(self) -> str:
        place = self.location or str(self.home / "tables")
        return place if "://" in place else Path(place).absolute().as_uri()


def warehouse_settings(home: Path, **given: Any) -> WarehouseSettings:
    """Settings from the environment; a Failure names what is wrong."""
    refuse_unknown(PREFIX, WarehouseSettings.model_fields)
    try:
        return WarehouseSettings(**({"home": os.environ.get(f"{PREFIX}HOME", home)} | given))
    except ValidationError as error:
        first = error.errors()[0]
        name = named(PREFIX, first["loc"], PREFIX)
        raise Failure(f"{name}: {first['msg']}", "correct it and start again") from error
