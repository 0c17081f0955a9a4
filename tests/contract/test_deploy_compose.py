"""compose.yaml: every stage runs and is watched, nothing is open beyond loopback, no secret has a
default.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pipeline.runtime.stages import STAGES
from tests.support.deploying import DEPLOY, read

_SECRETS = (
    "SWITCHBOARD_SECRET",
    "CLICKHOUSE_PASSWORD",
    "CLICKHOUSE_READER_PASSWORD",
    "GRAFANA_PASSWORD",
)


def test_every_stage_is_deployed_and_its_workers_are_watched() -> None:
    services = read("compose.yaml")["services"]
    workers = {
        name: one for name, one in services.items() if one.get("command", [""])[0] == "worker"
    }
    assert {one["command"][1] for one in workers.values()} == set(STAGES)
    (scraped,) = read("prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"]
    ports = {target.partition(":")[0] for target in scraped["targets"]}
    assert ports == set(workers)
    for name, one in workers.items():
        # A transactional id holds the host's name: without a fixed one a worker that is made anew
        # would wait for its own open transaction.
        assert one["hostname"] == name
        port = one["environment"]["SWITCHBOARD_METRICS_PORT"]
        assert f"{name}:{port}" in scraped["targets"]
        assert f"127.0.0.1:{port}/healthz" in " ".join(one["healthcheck"]["test"])
        assert f"EXPOSE {port}" in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_all_that_is_mounted_is_here_and_every_volume_is_declared() -> None:
    compose = read("compose.yaml")
    used = set()
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source = re.sub(r"^\$\{\w+:-([^}]*)\}", r"\1", volume).partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name} mounts {source}, which is not here"
            else:
                used.add(source)
    assert used == set(compose["volumes"])
    for config in compose["configs"].values():
        assert (DEPLOY / re.sub(r"^\$\{\w+:-([^}]*)\}", r"\1", config["file"])).exists()


def test_grafana_finds_what_it_asks() -> None:
    services = read("compose.yaml")["services"]
    metrics, history = read("grafana/provisioning/datasources/switchboard.yaml")["datasources"]
    prometheus = urlsplit(metrics["url"])
    assert prometheus.hostname == "prometheus"
    assert f"127.0.0.1:{prometheus.port}:{prometheus.port}" in services["prometheus"]["ports"]
    details = history["jsonData"]
    warehouse = services["load"]["environment"]["SWITCHBOARD_WAREHOUSE"]
    assert warehouse.endswith(f"@{details['host']}:{details['port']}/{details['defaultDatabase']}")
    reader = (DEPLOY / "clickhouse/reader.xml").read_text("utf-8")
    assert f"<{details['username']}>" in reader
    assert f"GRANT SELECT ON {details['defaultDatabase']}.*" in reader
    assert services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"] == history["type"]
    (provider,) = read("grafana/provisioning/dashboards/switchboard.yaml")["providers"]
    assert (
        f"./grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    )


def test_nothing_is_published_beyond_loopback_and_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    for service in read("compose.yaml")["services"].values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    for secret in _SECRETS:
        given = re.findall(rf"\$\{{{secret}([^}}]*)\}}", text)
        assert given
        assert all(how.startswith(":?") for how in given)
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(_SECRETS)
