"""Settings that lack or contradict something say which, and what they may be."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings, SettingsError, load_settings


def _settings(tmp_path: Path, **given: Any) -> Settings:
    return load_settings(data_dir=tmp_path, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"broker": "kafka:9092"}, "broker is set and warehouse is not"),
        ({"warehouse": "clickhouse://host/db"}, "warehouse is set and broker is not"),
        (
            {"broker_security": "sasl_ssl", "broker_user": "wei"},
            "needs broker_user and broker_password",
        ),
        ({"business_hours": ["whenever"]}, "'whenever' is no line of business hours"),
        ({"first_response_minutes": {"fax": 10}}, "fax: the channels are"),
        ({"next_response_minutes": {"email": 0}}, "email: minutes above 0"),
        ({"partitions": 0}, "partitions"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        _settings(tmp_path, **given)


def test_passwords_are_in_no_repr(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        broker="kafka:9092",
        warehouse="clickhouse://wei:geheim1@host/db",
        broker_security="sasl_ssl",
        broker_user="wei",
        broker_password="geheim2",
    )
    assert "geheim" not in repr(settings)
    assert settings.broker_properties["sasl.password"] == "geheim2"
    assert settings.broker_properties["security.protocol"] == "sasl_ssl"


def test_machines_that_share_the_work_must_be_told_the_secret(tmp_path: Path) -> None:
    alone = _settings(tmp_path)
    assert alone.identity().secret == _settings(tmp_path).identity().secret
    with pytest.raises(SettingsError, match="SWITCHBOARD_SECRET"):
        _settings(tmp_path, broker="kafka:9092", warehouse="clickhouse://host/db").identity()


def test_promises_are_kept_in_business_hours_of_the_zone(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        timezone="Asia/Shanghai",
        business_hours=["周一至周五 9:00-18:00"],
        holidays=["2026-10-01"],
        first_response_minutes={"default": 60, "email": None},
        bots=["小助手"],
    )
    rules = settings.converse_rules()
    # Wednesday 17:30 in Shanghai: half an hour is left, Thursday is a holiday, so half past nine on
    # Friday.
    wednesday = datetime(2026, 9, 30, 9, 30, tzinfo=UTC)
    friday = datetime(2026, 10, 2, 1, 30, tzinfo=UTC)
    assert rules.first_due(int(wednesday.timestamp() * 1000), "chat") == int(
        friday.timestamp() * 1000
    )
    assert rules.first_due(int(wednesday.timestamp() * 1000), "email") is None
    assert rules.bots == frozenset({"小助手"})
