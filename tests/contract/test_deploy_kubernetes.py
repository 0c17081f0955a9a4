"""The Kubernetes manifests: every stage is deployed, probed, scaled as far as its topics go, and
confined.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.stages import KAFKA_STAGES, STAGES
from pipeline.settings import SettingsError, load_settings
from schemas.topics import TOPICS
from tests.support.deploying import DEPLOY, MANIFESTS, documents, read

_K8S = DEPLOY / "k8s"
_POD_OWNERS = ("worker/statefulset.yaml", "base/setup.yaml")
# What kustomization.yaml files may name, by the key under which they do.
_NAMING = ("resources", "components")


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(container)


def stage_patch(stage: str) -> str:
    return str(read(f"k8s/stages/{stage}/kustomization.yaml")["patches"][0]["patch"])


def test_every_stage_is_deployed_and_nothing_else() -> None:
    assert {path.name for path in (_K8S / "stages").iterdir()} == set(STAGES)
    assert {f"../stages/{stage}" for stage in STAGES} <= set(
        read("k8s/base/kustomization.yaml")["resources"]
    )
    for stage in STAGES:
        assert f"value: [worker, {stage}]" in stage_patch(stage)
        assert read(f"k8s/stages/{stage}/kustomization.yaml")["nameSuffix"] == f"-{stage}"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(_K8S)))
def test_every_file_that_is_named_is_here(path: Path) -> None:
    if path.name != "kustomization.yaml":
        return
    found = read(str(path.relative_to(DEPLOY)))
    named = [name for key in _NAMING for name in found.get(key, ())]
    named += [patch["path"] for patch in found.get("patches", ()) if "path" in patch]
    for name in named:
        assert (path.parent / name).exists(), f"{path} names {name}"
    beside = {one.name for one in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert beside <= {Path(name).name for name in named}, f"{path} leaves a file of its folder out"


def test_probes_and_ports_are_those_of_a_worker() -> None:
    container = container_of(read("k8s/worker/statefulset.yaml"))
    (port,) = container["ports"]
    assert read("k8s/base/config.yaml")["data"]["SWITCHBOARD_METRICS_PORT"] == str(
        port["containerPort"]
    )
    assert f"EXPOSE {port['containerPort']}" in (DEPLOY / "Dockerfile").read_text("utf-8")
    asked = {
        probe: container[probe]["httpGet"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert {one["port"] for one in asked.values()} == {port["name"]}
    watching = (DEPLOY.parent / "pipeline/commands/health_server.py").read_text("utf-8")
    assert all(f'"{one["path"]}"' in watching for one in asked.values())
    assert asked["livenessProbe"]["path"] == "/healthz"
    assert asked["readinessProbe"]["path"] == "/readyz"
    annotations = read("k8s/worker/statefulset.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])
    (endpoint,) = read("k8s/monitoring/pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], annotations["prometheus.io/path"])


@pytest.mark.parametrize("name", _POD_OWNERS)
def test_pods_are_confined_and_write_only_where_they_must(name: str) -> None:
    manifest = read(f"k8s/{name}")
    pod, container = manifest["spec"]["template"]["spec"], container_of(manifest)
    user = re.search(r"^USER (\d+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in pod["volumes"]} | {
        claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", ())
    }
    assert {"/data", "/tmp"} <= mounts
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    patched = (
        [stage_patch(stage) for stage in STAGES]
        if name == _POD_OWNERS[0]
        else [str(container["resources"])]
    )
    assert all("requests" in one and "limits" in one and "memory" in one for one in patched)


def test_a_stage_is_scaled_by_every_topic_that_it_reads_and_no_further_than_their_partitions() -> (
    None
):
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]
        for one in documents(_K8S / "autoscaling/scaled-objects.yaml")
    }
    assert set(scaled) == {f"switchboard-{stage}" for stage in KAFKA_STAGES}
    for stage in KAFKA_STAGES:
        topics = STAGES[stage]
        spec = scaled[f"switchboard-{stage}"]
        asked = [trigger["metadata"] for trigger in spec["triggers"]]
        assert [one["topic"] for one in asked] == list(topics)
        assert {one["consumerGroup"] for one in asked} == {stage}
        assert spec["minReplicaCount"] == 1
        assert spec["maxReplicaCount"] == max(TOPICS[topic].partitions for topic in topics)


def test_the_secret_is_a_template_that_no_worker_takes() -> None:
    secret = read("k8s/secret.example.yaml")["stringData"]
    used = {
        one["secretRef"]["name"]
        for one in container_of(read("k8s/worker/statefulset.yaml"))["envFrom"]
        if "secretRef" in one
    }
    assert used == {read("k8s/secret.example.yaml")["metadata"]["name"]}
    given = {name.removeprefix("SWITCHBOARD_").lower(): value for name, value in secret.items()}
    with pytest.raises(SettingsError, match="secret"):
        load_settings(broker="kafka:9092", **given)
    tracked = (DEPLOY.parent / ".gitignore").read_text("utf-8").splitlines()
    assert "deploy/k8s/secret.yaml" in tracked


def test_live_shows_its_windows_where_its_service_looks() -> None:
    (port,) = read("k8s/stages/live/service.yaml")["spec"]["ports"]
    assert read("k8s/base/config.yaml")["data"]["SWITCHBOARD_LIVE_PORT"] == str(port["port"])
    assert f"{{name: {port['targetPort']}, containerPort: {port['port']}}}" in stage_patch("live")
