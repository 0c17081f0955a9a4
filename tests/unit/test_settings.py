"""Settings: errors name the setting and its allowed values; what a workspace builds from them."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings, SettingsError, load_settings
from pipeline.workspace import Workspace, kafka_security


def _settings(tmp_path: Path, **values: Any) -> Settings:
    return load_settings(data_dir=tmp_path, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"broker": "kafka:9092"}, "broker is set and warehouse is not"),
        ({"warehouse": "clickhouse://host/db"}, "warehouse is set and broker is not"),
        (
            {"broker_security": "sasl_ssl", "broker_user": "wei"},
            "needs broker_user and broker_password",
        ),
        ({"business_hours": ["whenever"]}, "'whenever' is not a line of business hours"),
        ({"holiday_calendar": "XX"}, "'XX' is no known holiday calendar"),
        ({"first_response_minutes": {"fax": 10}}, "fax: unknown channel; the channels are"),
        ({"next_response_minutes": {"email": 0}}, "email: minutes must be greater than 0"),
        ({"partitions": 0}, "partitions"),
        ({"tenant": "my shop"}, "tenant: is no name of a tenant: use 1 to 64 of a-z"),
    ],
)
def test_an_error_names_the_wrong_setting(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        _settings(tmp_path, **values)


def test_passwords_are_not_in_the_repr(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        broker="kafka:9092",
        warehouse="clickhouse://wei:geheim1@host/db",
        broker_security="sasl_ssl",
        broker_user="wei",
        broker_password="geheim2",
    )
    assert "geheim" not in repr(settings)
    security = kafka_security(settings)
    assert security["sasl.password"] == "geheim2"
    assert security["security.protocol"] == "sasl_ssl"


def test_several_machines_need_an_explicit_secret(tmp_path: Path) -> None:
    embedded = Workspace(_settings(tmp_path))
    assert embedded.identity().secret == Workspace(_settings(tmp_path)).identity().secret
    distributed = _settings(tmp_path, broker="kafka:9092", warehouse="clickhouse://host/db")
    with pytest.raises(SettingsError, match="SWITCHBOARD_SECRET"):
        Workspace(distributed).identity()


def test_due_dates_are_in_business_hours_of_the_zone(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        timezone="Asia/Shanghai",
        business_hours=["周一至周五 9:00-18:00"],
        holidays=["2026-10-01"],
        first_response_minutes={"default": 60, "email": None},
        bots=["小助手"],
    )
    rules = Workspace(settings).service_rules()
    # Wednesday 17:30 in Shanghai: half an hour is left, Thursday is a holiday, so half past nine on
    # Friday.
    wednesday = datetime(2026, 9, 30, 9, 30, tzinfo=UTC)
    friday = datetime(2026, 10, 2, 1, 30, tzinfo=UTC)
    assert rules.first_due(int(wednesday.timestamp() * 1000), "chat") == int(
        friday.timestamp() * 1000
    )
    assert rules.first_due(int(wednesday.timestamp() * 1000), "email") is None
    assert rules.bots == frozenset({"小助手"})


def test_a_holiday_calendar_closes_holidays_and_opens_make_up_days(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        timezone="Asia/Shanghai",
        business_hours=["Mon-Fri 9:00-18:00"],
        holiday_calendar="CN",
        holidays=["2026-10-10"],
        working_days=["2026-10-01"],
    )
    hours = Workspace(settings).service_rules().hours
    assert hours is not None
    assert not hours.is_open_on(date(2026, 10, 7)), "a holiday of the calendar"
    assert hours.is_open_on(date(2026, 9, 20)), "a Sunday that the calendar makes a working day"
    assert not hours.is_open_on(date(2026, 10, 10)), "closed by the settings"
    assert hours.is_open_on(date(2026, 10, 1)), "open by the settings"
