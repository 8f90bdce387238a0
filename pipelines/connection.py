"""How every client of the product reaches Kafka and the registry: in the clear on one's own machine, else by TLS, as
somebody. Secrets come from the environment or from files, and are shown nowhere."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.environment import named, refuse_unknown
from pipelines.failure import Failure

PREFIX: Final = "LOYALTY_SECURITY_"


class Security(BaseSettings):
    """Who a client is, and whom it trusts. A password is given itself, or as a file that holds it, not both."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    """SASL_SSL: TLS, and SCRAM for who it is. There is no SASL without TLS."""
    ca_file: Path | None = None
    """The authorities that may have signed the brokers' certificates; those of the system without."""
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    registry_ca_file: Path | None = None
    registry_username: str | None = None
    registry_password: SecretStr | None = None
    registry_password_file: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> Security:
        if self.protocol == "SASL_SSL" and not self.username:
            raise ValueError("SASL_SSL needs USERNAME, and PASSWORD or PASSWORD_FILE")
        if self.protocol != "SASL_SSL" and self.username:
            raise ValueError("USERNAME is given, so PROTOCOL must be SASL_SSL")
        for name in ("", "registry_"):
            given = [getattr(self, f"{name}{kind}") is not None for kind in ("password", "password_file")]
            if getattr(self, f"{name}username") is not None and sum(given) != 1:
                raise ValueError(
                    f"{name.upper()}USERNAME needs one of {name.upper()}PASSWORD, …PASSWORD_FILE"
                )
        return self

    @classmethod
    def in_the_clear(cls) -> Security:
        """Nobody, to a cluster of this machine, whatever the environment says."""
        return cls.model_construct()

    def kafka(self, bootstrap: str) -> dict[str, Any]:
        """The part of a Kafka client's configuration that says where, how and as whom it connects."""
        found: dict[str, Any] = {"bootstrap.servers": bootstrap}
        if self.protocol != "PLAINTEXT":
            found["security.protocol"] = self.protocol
            if self.ca_file is not None:
                found["ssl.ca.location"] = str(_there(self.ca_file))
        if self.protocol == "SASL_SSL":
            found["sasl.mechanism"] = self.mechanism
            found["sasl.username"] = self.username
            found["sasl.password"] = _secret(self.password, self.password_file)
        return found

    def registry(self, url: str) -> dict[str, Any]:
        """The same for the registry's client."""
        found: dict[str, Any] = {"url": url}
        if self.registry_ca_file is not None:
            found["ssl.ca.location"] = str(_there(self.registry_ca_file))
        if self.registry_username is not None:
            password = _secret(self.registry_password, self.registry_password_file)
            found["basic.auth.user.info"] = f"{self.registry_username}:{password}"
        return found

    def registry_trust(self) -> ssl.SSLContext | None:
        """Whom a plain HTTP client trusts to be the registry; None for whom the system trusts."""
        if self.registry_ca_file is None:
            return None
        return ssl.create_default_context(cafile=str(_there(self.registry_ca_file)))

    @property
    def whom(self) -> str:
        """As whom Kafka knows the client, for messages."""
        return f"User:{self.username}" if self.username else "this client"


def _there(file: Path) -> Path:
    if not file.is_file():
        raise Failure(f"there is no file {file}", "give the file of the authorities' certificates, in PEM")
    return file


def _secret(given: SecretStr | None, file: Path | None) -> str:
    if given is not None:
        return given.get_secret_value()
    assert file is not None
    try:
        found = file.read_text(encoding="utf-8").rstrip("\r\n")
        if not found:
            raise Failure(f"the password's file {file} is empty", "write the password into it")
        return found
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise Failure(
            f"the password's file {file} cannot be read: {reason}", "let this user read it, and nobody else"
        ) from None


def refused(error: Exception) -> Failure | None:
    """What an error of Kafka's client means to whoever typed a command; None when it is no such error."""
    told: Any = next(iter(error.args), None)
    if type(error).__name__ != "KafkaException" or not hasattr(told, "str"):
        return None
    if "AUTHORIZATION_FAILED" not in told.name():
        return Failure(f"Kafka could not do it: {told.str()}", "check `loyalty status`, then the same again")
    what = f"Kafka refused {security().whom}: {told.str()}"
    return Failure(what, "be a user who may (docs/SECURITY.md), or see `loyalty acls plan`")


def security() -> Security:
    """As the environment says, asked anew each time; a Failure names what is wrong, and no secret."""
    refuse_unknown(PREFIX, Security.model_fields)
    try:
        return Security()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = named(PREFIX, first["loc"], f"{PREFIX}*")
        raise Failure(
            f"{name}: {first['msg'].removeprefix('Value error, ')}", "correct it and start again"
        ) from None


def kafka_client(bootstrap: str) -> dict[str, Any]:
    """The connection part of every Kafka client's configuration, as the environment says."""
    return security().kafka(bootstrap)
