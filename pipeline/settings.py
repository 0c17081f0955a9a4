"""Settings: the only reader of the environment (`SWITCHBOARD_*`) and of `switchboard.toml`."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.errors import UserError
from pipeline.identity.contacts import OwnSide
from pipeline.models.head_files import read_heads
from pipeline.models.heads import HEADS, Head
from pipeline.processors.converse.business_hours import parse_hours
from pipeline.processors.converse.service_rules import EVERY_CHANNEL, Rules, ServicePromises
from pipeline.processors.identify import Identity
from schemas.registry import explain
from schemas.types import Channel

CONFIG_VARIABLE = "SWITCHBOARD_CONFIG"
_DEFAULT_CONFIG = Path("switchboard.toml")
# As long as the HMAC's own block of output: a longer key adds nothing, a shorter one is easier to
# guess.
_SECRET_BYTES = 32


class SettingsError(UserError, ValueError):
    """A setting is wrong; the message names it, where it stands and what it may be."""


class Settings(BaseSettings):
    """What an installation is told. Precedence: command line, environment, switchboard.toml, these
    defaults.
    """

    model_config = SettingsConfigDict(env_prefix="SWITCHBOARD_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("switchboard-data"), description="Folder of the embedded log, store and secret."
    )
    tenant: str = Field(
        "default", min_length=1, max_length=64, description="Whose data connectors read."
    )
    own: tuple[str, ...] = Field(
        (), description="Our own side: addresses, domains, numbers, chat names."
    )
    region: str | None = Field(
        None, description="ISO 3166 code of national telephone numbers, such as CN."
    )
    timezone: str | None = Field(
        None, description="IANA zone of stamps without a zone, such as Asia/Shanghai."
    )
    # Large enough that a batch's fixed costs (one fsync, one insert a table) weigh little, small
    # enough that mails fit memory.
    batch_records: int = Field(
        2_000, ge=1, le=100_000, description="Most records that a stage takes at once."
    )
    secret: str | None = Field(
        None, min_length=16, description="Key of customer ids; absent: made once, kept in data_dir."
    )

    broker: str | None = Field(
        None,
        description="Kafka's bootstrap servers, host:port,…; absent: the embedded log in data_dir.",
    )
    broker_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How Kafka is spoken to."
    )
    broker_sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Mechanism where broker_security is sasl_*."
    )
    broker_user: str | None = Field(None, description="User where broker_security is sasl_*.")
    broker_password: SecretStr | None = Field(
        None, description="Password where broker_security is sasl_*."
    )
    broker_ca: Path | None = Field(
        None, description="File of the authorities that Kafka's certificate is checked by."
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Partitions of every topic but examples; absent: as declared.",
    )
    # -1 is Kafka's word for the default of its own brokers: three on most clusters, one on a single
    # machine.
    replication: int = Field(
        -1, ge=-1, le=10, description="Copies of each partition; -1: the brokers' default."
    )
    warehouse: SecretStr | None = Field(
        None,
        description=(
            "clickhouse://user:password@host:9000/database; absent: the embedded store in data_dir."
        ),
    )
    # Below <backups><allowed_path> of the server's configuration; the simplest that every server
    # can have.
    backup_place: str = Field(
        "File('{name}')",
        pattern=r"\{name\}",
        description=(
            "Where ClickHouse writes a backup, as its BACKUP names it: File('{name}'),"
            " Disk('backups', '{name}'), S3('https://…/{name}', 'key', 'secret')."
        ),
    )
    bodies: str | None = Field(
        None,
        description=(
            "Where bodies over 256 KiB lie: a folder that all workers share, or a bucket such as"
            " s3://name/prefix (needs `pip install s3fs`); absent: bodies/ in data_dir."
        ),
    )
    # A quarter of a million mails: a night of a busy mailbox while the broker is away, and little
    # on any disk.
    spool_bytes: int = Field(
        1 << 30,
        ge=0,
        description="Most bytes that wait in data_dir while Kafka is not to be reached.",
    )

    log_format: Literal["text", "json"] = Field(
        "text",
        description="The log on standard error: lines for people, or one JSON object a line.",
    )
    # Loopback, lest a worker tells strangers how it does; in a container it is 0.0.0.0, for
    # Prometheus asks from another.
    metrics_host: str = Field(
        "127.0.0.1", description="Address on which workers serve /metrics, /healthz and /readyz."
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_279,
        description=(
            "Port of a stage's first worker on a machine, the next has the next; absent: none."
        ),
    )

    live_port: int | None = Field(
        None,
        ge=1,
        le=65_279,
        description=(
            "Port of metrics_host on which the first live worker shows its windows, /live; the next"
            " has the next; absent: none."
        ),
    )

    business_hours: tuple[str, ...] = Field(
        (),
        description=(
            "Lines such as Mon-Fri 09:00-12:00, 13:30-18:00 or 周一至周五 9:00-18:00; empty: round"
            " the clock."
        ),
    )
    holidays: tuple[date, ...] = Field(
        (), description="Days closed though the week says otherwise, as 2026-10-01."
    )
    working_days: tuple[date, ...] = Field(
        (), description="Days open though the week says otherwise (调休)."
    )
    first_response_minutes: dict[str, float | None] = Field(
        {},
        description=(
            "Business minutes within which a conversation's first message is answered, by channel"
            " or `default`."
        ),
    )
    next_response_minutes: dict[str, float | None] = Field(
        {},
        description=(
            "Business minutes within which every later message is answered, by channel or"
            " `default`."
        ),
    )
    bots: tuple[str, ...] = Field((), description="Names by which our bots appear as staff.")
    heads: Path | None = Field(
        None,
        description=(
            "File of heads and labels of your own (TOML, docs/guide/heads.md); the same on every"
            " machine."
        ),
    )
    # A fortnight is a guess that fits a shop; who sells machines sets months.
    intent_horizon_days: int = Field(
        14,
        ge=1,
        le=365,
        description=(
            "A payment within so many days of a message marks the message as purchase intent."
        ),
    )
    # Outcomes take days to come about; an hour more teaches no less, and the queries read the last
    # weeks of the history.
    outcomes_minutes: float = Field(
        60,
        ge=0,
        description=(
            "How often `run`, or the keeper of `resolve`, looks for outcomes and drift; 0: never."
        ),
    )

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if (self.broker is None) != (self.warehouse is None):
            given, absent = ("broker", "warehouse") if self.broker else ("warehouse", "broker")
            raise ValueError(
                f"{given} is set and {absent} is not: the distributed way needs both, the embedded"
                " neither"
            )
        if self.broker_security.startswith("sasl") and not (
            self.broker_user and self.broker_password
        ):
            raise ValueError(
                f"broker_security {self.broker_security} needs broker_user and broker_password"
            )
        return self

    @field_validator("business_hours")
    @classmethod
    def _known_hours(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if lines:
            parse_hours(lines, zone_of("UTC"))
        return lines

    @field_validator("first_response_minutes", "next_response_minutes")
    @classmethod
    def _known_channels(cls, promises: dict[str, float | None]) -> dict[str, float | None]:
        known = {EVERY_CHANNEL, *Channel}
        if unknown := sorted(set(promises) - known):
            raise ValueError(f"{', '.join(unknown)}: the channels are {', '.join(sorted(known))}")
        if wrong := sorted(
            channel for channel, minutes in promises.items() if minutes is not None and minutes <= 0
        ):
            raise ValueError(
                f"{', '.join(wrong)}: minutes above 0; leave the channel out where nothing is"
                " promised"
            )
        return promises

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(
                f"{value!r} is no ISO 3166 code with telephone numbers, such as CN or US"
            )
        return value.upper() if value else None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            zone_of(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # there is one file, and it is TOML
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get(CONFIG_VARIABLE, _DEFAULT_CONFIG))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of stamps without one."""
        return zone_of(self.timezone) if self.timezone else None

    @property
    def distributed(self) -> bool:
        """Whether Kafka and a ClickHouse server are used, not the embedded log and store."""
        return self.broker is not None

    @property
    def broker_properties(self) -> dict[str, str]:
        """What librdkafka is told about security;
        https://github.com/confluentinc/librdkafka/wiki/Using-SASL-with-librdkafka.
        """
        properties: dict[str, str] = {"security.protocol": self.broker_security}
        if self.broker_security.startswith("sasl") and self.broker_user and self.broker_password:
            properties |= {
                "sasl.mechanism": self.broker_sasl,
                "sasl.username": self.broker_user,
                "sasl.password": self.broker_password.get_secret_value(),
            }
        if self.broker_ca is not None:
            properties["ssl.ca.location"] = str(self.broker_ca)
        return properties

    def converse_rules(self) -> Rules:
        """Return what converse is told; without a zone, business hours and times in texts are
        UTC.
        """
        zone = self.zone or zone_of("UTC")
        hours = (
            parse_hours(self.business_hours, zone, self.holidays, self.working_days)
            if self.business_hours
            else None
        )
        promises = ServicePromises(
            _seconds(self.first_response_minutes), _seconds(self.next_response_minutes)
        )
        return Rules(hours, promises, zone, frozenset(name.casefold() for name in self.bots))

    def head_table(self) -> tuple[Head, ...]:
        """Return the heads that are asked: the built-in ones, and those of the file `heads`; raises
        HeadsError.
        """
        return read_heads(self.heads) if self.heads else HEADS

    @property
    def own_side(self) -> OwnSide:
        """Our own side, ready to be asked."""
        return OwnSide(self.own, self.region)

    def identity(self) -> Identity:
        """Return what identification knows; makes the installation's secret where there is none
        yet.

        Raises SettingsError where several machines may share the work and none is told: each would
        make ids of its own.
        """
        if self.distributed and not self.secret:
            raise SettingsError(
                "secret: with Kafka every machine needs the same one: set SWITCHBOARD_SECRET, 16"
                " characters or more, and keep it"
            )
        secret = self.secret.encode() if self.secret else _kept_secret(self.data_dir / "secret")
        return Identity(secret, self.own_side, self.region)


def _seconds(minutes: dict[str, float | None]) -> dict[str, float | None]:
    return {channel: None if value is None else value * 60 for channel, value in minutes.items()}


def load_settings(**given: Any) -> Settings:
    """Return the settings, those given (and not None) before all others; raises SettingsError
    naming what is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(f"settings: {explain(error)[1]}") from error
    except (OSError, ValueError) as error:
        path = os.environ.get(CONFIG_VARIABLE, _DEFAULT_CONFIG)
        raise SettingsError(f"{path}: {error}") from error


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA time zone by name; raises ValueError saying what a zone looks like."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no IANA time zone, such as Asia/Shanghai or Europe/London"
        ) from error


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make_secret(path)
    kept = path.read_bytes()
    if len(kept) < _SECRET_BYTES:
        raise SettingsError(f"{path} is damaged: restore it, for customer ids depend on it")
    return kept


def _make_secret(path: Path) -> None:
    """Write a new secret whole or not at all; where another process was first, its secret
    stands.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent) as part:
        part.write(secrets.token_bytes(_SECRET_BYTES))
        part.flush()
        os.fsync(part.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part.name, path)
