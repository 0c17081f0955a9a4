"""Settings of an installation: the only module that reads `SWITCHBOARD_*` and `switchboard.toml`.

It reads and checks values and nothing else; what is built from them is in `pipeline.workspace`.
"""

from __future__ import annotations

import os
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
from pipeline.processors.converse.business_hours import parse_hours
from pipeline.processors.converse.holiday_calendar import calendar_days
from pipeline.processors.converse.service_rules import EVERY_CHANNEL
from schemas.envelope import DEFAULT_TENANT, TenantName
from schemas.registry import explain
from schemas.types import Channel

CONFIG_VARIABLE = "SWITCHBOARD_CONFIG"
_DEFAULT_CONFIG = Path("switchboard.toml")


class SettingsError(UserError, ValueError):
    """A setting is wrong; the message names the setting, its source and the allowed values."""


class Settings(BaseSettings):
    """All settings of an installation.

    Precedence: command line, environment, switchboard.toml, the defaults below.
    """

    model_config = SettingsConfigDict(env_prefix="SWITCHBOARD_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("switchboard-data"), description="Folder of the embedded log, store and secret."
    )
    tenant: TenantName = Field(DEFAULT_TENANT, description="Tenant of the data that is ingested.")
    own: tuple[str, ...] = Field(
        (),
        description="Your own side: mail addresses, domains, telephone numbers, chat names.",
    )
    region: str | None = Field(
        None,
        description="ISO 3166 code of the country of national telephone numbers, such as CN.",
    )
    placeholder_contacts: tuple[str, ...] = Field(
        (),
        description=(
            "Values of id, mail address, telephone or handle that identify nobody, beside the"
            " built-in ones (null, n/a, 无, guest, 00000000000 …), such as walk-in@shop.example."
        ),
    )
    timezone: str | None = Field(
        None, description="IANA zone of timestamps without a zone, such as Asia/Shanghai."
    )
    # Large enough that the fixed costs of a batch (one fsync, one insert per table) hardly count,
    # small enough that a batch of mails fits into memory.
    batch_records: int = Field(
        2_000, ge=1, le=100_000, description="Maximum number of records in a batch of a stage."
    )
    secret: str | None = Field(
        None,
        min_length=16,
        description="Key of customer ids; default: generated once and stored in data_dir.",
    )

    broker: str | None = Field(
        None,
        description="Kafka bootstrap servers, host:port,…; default: the embedded log in data_dir.",
    )
    broker_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="Security protocol of the connection to Kafka."
    )
    broker_sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, if broker_security is sasl_*."
    )
    broker_user: str | None = Field(None, description="User, if broker_security is sasl_*.")
    broker_password: SecretStr | None = Field(
        None, description="Password, if broker_security is sasl_*."
    )
    broker_ca: Path | None = Field(
        None, description="File of CA certificates that verify the certificate of Kafka."
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Partitions of every topic except examples; default: as declared per topic.",
    )
    # -1 asks Kafka for the default of its brokers: three on most clusters, one on a single machine.
    replication: int = Field(
        -1, ge=-1, le=10, description="Replicas of each partition; -1: the default of the brokers."
    )
    warehouse: SecretStr | None = Field(
        None,
        description=(
            "clickhouse://user:password@host:9000/database; default: the embedded store in"
            " data_dir."
        ),
    )
    # Relative to <backups><allowed_path> of the server's configuration: the simplest destination
    # that every server can have.
    backup_place: str = Field(
        "File('{name}')",
        pattern=r"\{name\}",
        description=(
            "Destination of ClickHouse backups, as in its BACKUP statement: File('{name}'),"
            " Disk('backups', '{name}'), S3('https://…/{name}', 'key', 'secret')."
        ),
    )
    bodies: str | None = Field(
        None,
        description=(
            "Where bodies over 256 KiB are stored: a folder that all workers share, or a bucket"
            " such as s3://name/prefix (needs `pip install s3fs`); default: bodies/ in data_dir."
        ),
    )
    # A quarter of a million mails: one night of a busy mailbox without the broker, and little space
    # on any disk.
    spool_bytes: int = Field(
        1 << 30,
        ge=0,
        description="Maximum size of the spool in data_dir while Kafka is unreachable, in bytes.",
    )

    # A minute answers anything over years of a shop's mail; what takes longer is mostly a mistake.
    question_seconds: int = Field(
        60, ge=1, le=86_400, description="Seconds that one `query` may take."
    )
    # A quarter of the memory of a small machine, which also runs the stages.
    question_memory_bytes: int = Field(
        2 << 30, ge=1 << 20, description="Memory that one `query` may use, in bytes."
    )
    # More than fits any spreadsheet; and an export of ten million records.
    question_rows: int = Field(
        10_000_000, ge=1, description="Rows that the result of one `query` may have."
    )
    # The embedded engine keeps the whole result in memory.
    question_bytes: int = Field(
        1 << 30,
        ge=1 << 10,
        description="Bytes that the result of one `query` may have, before compression.",
    )

    log_format: Literal["text", "json"] = Field(
        "text",
        description="Format of the log on standard error: plain lines or JSON lines.",
    )
    # Loopback, so that metrics are not public by default. A container sets 0.0.0.0, because
    # Prometheus runs in another one.
    metrics_host: str = Field(
        "127.0.0.1", description="Address on which workers serve /metrics, /healthz and /readyz."
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_279,
        description=(
            "Port of the first worker of a stage on a machine; further workers use the next ports;"
            " default: none."
        ),
    )

    live_port: int | None = Field(
        None,
        ge=1,
        le=65_279,
        description=(
            "Port of metrics_host on which the first live worker serves /live; further workers use"
            " the next ports; default: none."
        ),
    )

    business_hours: tuple[str, ...] = Field(
        (),
        description=(
            "Lines such as Mon-Fri 09:00-12:00, 13:30-18:00 or 周一至周五 9:00-18:00; empty: always"
            " open."
        ),
    )
    holiday_calendar: str | None = Field(
        None,
        description=(
            "Country, or country and region, whose public holidays are closed and whose working"
            " weekends (调休) are open, such as CN or DE-BY; default: none."
        ),
    )
    holidays: tuple[date, ...] = Field(
        (),
        description=(
            "Closed days, such as 2026-10-01; they override business_hours and holiday_calendar."
        ),
    )
    working_days: tuple[date, ...] = Field(
        (),
        description=(
            "Extra working days (调休); they override business_hours and holiday_calendar."
        ),
    )
    first_response_minutes: dict[str, float | None] = Field(
        {},
        description=(
            "Promised minutes of business time until the first reply in a conversation, by channel"
            " or `default`."
        ),
    )
    next_response_minutes: dict[str, float | None] = Field(
        {},
        description=(
            "Promised minutes of business time until the reply to every later message, by channel"
            " or `default`."
        ),
    )
    bots: tuple[str, ...] = Field((), description="Names of bots that appear as staff members.")
    heads: Path | None = Field(
        None,
        description=(
            "TOML file with heads and labels of your own (docs/guide/heads.md); the same on every"
            " machine."
        ),
    )
    # Two weeks fit a shop; a seller of machines sets months.
    intent_horizon_days: int = Field(
        14,
        ge=1,
        le=365,
        description=(
            "A payment within this many days after a message labels the message as purchase intent."
        ),
    )
    # Outcomes take days to appear, so an hour of delay costs nothing, and each scan reads weeks of
    # the history.
    outcomes_minutes: float = Field(
        60,
        ge=0,
        description=(
            "Minutes between two scans for outcomes and drift, by `run` or by the supervisor of"
            " `resolve`; 0: never."
        ),
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Settings:
        if (self.broker is None) != (self.warehouse is None):
            present, absent = ("broker", "warehouse") if self.broker else ("warehouse", "broker")
            raise ValueError(
                f"{present} is set and {absent} is not: set both for Kafka and ClickHouse, or"
                " neither for the embedded engine"
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
    def _check_hours(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if lines:
            parse_hours(lines, parse_zone("UTC"))
        return lines

    @field_validator("holiday_calendar")
    @classmethod
    def _check_calendar(cls, name: str | None) -> str | None:
        if name is not None:
            calendar_days(name)
        return name

    @field_validator("first_response_minutes", "next_response_minutes")
    @classmethod
    def _check_promises(cls, promises: dict[str, float | None]) -> dict[str, float | None]:
        known = {EVERY_CHANNEL, *Channel}
        if unknown := sorted(set(promises) - known):
            raise ValueError(
                f"{', '.join(unknown)}: unknown channel; the channels are"
                f" {', '.join(sorted(known))}"
            )
        if wrong := sorted(
            channel for channel, minutes in promises.items() if minutes is not None and minutes <= 0
        ):
            raise ValueError(
                f"{', '.join(wrong)}: minutes must be greater than 0; omit the channel to promise"
                " nothing"
            )
        return promises

    @field_validator("region")
    @classmethod
    def _check_region(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(
                f"{value!r} is not an ISO 3166 country code with telephone numbers, such as CN or"
                " US"
            )
        return value.upper() if value else None

    @field_validator("timezone")
    @classmethod
    def _check_zone(cls, value: str | None) -> str | None:
        if value is not None:
            parse_zone(value)
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
        """The zone of timestamps without one."""
        return parse_zone(self.timezone) if self.timezone else None

    @property
    def distributed(self) -> bool:
        """Whether the installation uses Kafka and a ClickHouse server."""
        return self.broker is not None


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this process; overrides that are not None come first.

    Raises SettingsError for a setting that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(f"settings: {explain(error)[1]}") from error
    except (OSError, ValueError) as error:
        path = os.environ.get(CONFIG_VARIABLE, _DEFAULT_CONFIG)
        raise SettingsError(f"{path}: {error}") from error


def parse_zone(name: str) -> ZoneInfo:
    """Return an IANA time zone by name; raises ValueError if there is none of that name.

    >>> parse_zone("Asia/Shanghai")
    zoneinfo.ZoneInfo(key='Asia/Shanghai')
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not an IANA time zone, such as Asia/Shanghai or Europe/London"
        ) from error
