"""What a secure local stack has besides: an authority and certificates of its own, users with passwords, an authorizer.

All of it lies under `security` in the home, readable by its owner alone; `down --wipe` deletes it. `<user>.env` has the
settings with which a command is that user: `set -a; . .loyalty/security/admin.env; set +a`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from pipelines.connection import Security
from pipelines.grants import ROLES, user

BROKER: Final = "broker"
"""The brokers among themselves: a user for records, and the name on the certificate of controllers."""
ADMIN: Final = "admin"
"""May do everything: makes topics, ACLs and users."""
MECHANISM: Final = "SCRAM-SHA-512"
ITERATIONS: Final = 8192
TIMEOUT_S: Final = 30
_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Vault:
    """The secrets of one home, made when they are not there yet."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "security"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def identity(self) -> Path:
        """The certificate of brokers and registry, with its key."""
        return self.folder / "broker.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "registry.crt"

    @property
    def key(self) -> Path:
        return self.folder / "registry.key"

    def fill(self) -> None:
        """Have an authority, certificates, and a password for the brokers, the admin and every role."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.identity.exists():
            authority = trustme.CA(organization_name="loyalty local")
            mine = authority.issue_cert("localhost", "127.0.0.1", common_name=BROKER)
            chain = b"".join(part.bytes() for part in mine.cert_chain_pems)
            write_private(self.ca, authority.cert_pem.bytes())
            write_private(self.certificate, chain)
            key = _pkcs8(mine.private_key_pem.bytes())
            write_private(self.key, key)
            write_private(self.identity, key + chain)
        for name in (BROKER, ADMIN, *map(user, ROLES)):
            if not (self.folder / f"{name}.password").exists():
                write_private(self.folder / f"{name}.password", secrets.token_urlsafe(24).encode())
            write_private(self.folder / f"{name}.env", self._env(name).encode())

    def password(self, name: str) -> str:
        return (self.folder / f"{name}.password").read_text()

    def security(self, name: str) -> Security:
        """The settings with which a client is that user."""
        return Security.model_construct(
            protocol="SASL_SSL",
            ca_file=self.ca,
            username=name,
            password_file=self.folder / f"{name}.password",
            registry_ca_file=self.ca,
        )

    def _env(self, name: str) -> str:
        told = {
            "PROTOCOL": "SASL_SSL",
            "CA_FILE": self.ca,
            "USERNAME": name,
            "PASSWORD_FILE": self.folder / f"{name}.password",
            "REGISTRY_CA_FILE": self.ca,
        }
        return "".join(f"LOYALTY_SECURITY_{key}='{value}'\n" for key, value in told.items())

    def arguments(self, command: list[str]) -> Path:
        """A file of arguments for Java, so that passwords of those who must exist first stand on no command line."""
        for name in (BROKER, ADMIN):
            command = [*command, "--add-scram", f"{MECHANISM}=[name={name},password={self.password(name)}]"]
        file = self.folder / "format.arguments"
        write_private(file, "\n".join(f'"{word}"' for word in command).encode())
        return file

    def properties(self) -> dict[str, object]:
        """What a broker's settings have besides: TLS everywhere, SCRAM for clients, certificates for controllers."""
        jaas = f'{_LOGIN} required username="{BROKER}" password="{self.password(BROKER)}";'
        return {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config": jaas,
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.identity,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{BROKER};User:{ADMIN}",
        }

    def registry_environment(self, port: int) -> dict[str, str]:
        """What the registry is told besides: TLS, and nothing else."""
        return {
            "QUARKUS_HTTP_SSL_PORT": str(port),
            "QUARKUS_HTTP_SSL_CERTIFICATE_FILES": str(self.certificate),
            "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES": str(self.key),
            "QUARKUS_HTTP_INSECURE_REQUESTS": "disabled",
        }

    def forget_arguments(self) -> None:
        """The passwords stand in a file of arguments no longer than needed."""
        (self.folder / "format.arguments").unlink(missing_ok=True)

    def set_passwords(self, bootstrap: str) -> None:
        """Tell the brokers the password of every role."""
        admin = AdminClient(self.security(ADMIN).kafka(bootstrap) | {"log_level": 0})
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        wanted = [
            UserScramCredentialUpsertion(name, mechanism, self.password(name).encode())
            for name in map(user, ROLES)
        ]
        for future in admin.alter_user_scram_credentials(wanted, request_timeout=TIMEOUT_S).values():
            future.result()


def _pkcs8(pem: bytes) -> bytes:
    """The key in the only form that Kafka reads."""
    key = serialization.load_pem_private_key(pem, None)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def write_private(file: Path, content: bytes) -> None:
    """Write a file that nobody else can read, at no moment."""
    scratch = file.with_suffix(file.suffix + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    scratch.replace(file)
