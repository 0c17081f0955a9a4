"""Each file of deploy/ passes the validator of the program that reads it.

Those are Docker's linter, Compose, Prometheus, Kubernetes, KEDA and Grafana.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support import tools
from tests.support.deploying import (
    DASHBOARDS,
    DEPLOY,
    as_promql,
    dashboard,
    documents,
    queries,
    read,
)
from tests.support.stack import StackMissingError, skip_or_fail

pytestmark = pytest.mark.stack
_K8S = DEPLOY / "k8s"
# Kubernetes as far back as its own project still mends it, and the newest that the schemas know.
_KUBERNETES = ("1.33", "1.37")
_CUSTOM = ("keda.sh/", "monitoring.coreos.com/")
_PANELS = {"timeseries": "TimeSeries", "stat": "Stat", "table": "Table", "bargauge": "BarGauge"}


def run(*words: str | Path, given: str = "", cwd: Path | None = None) -> str:
    """Run a validator that must not complain; return its output."""
    done = subprocess.run(
        [*map(str, words)], input=given, capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == 0, f"{words[0]}:\n{done.stdout}{done.stderr}"
    return done.stdout


def built(folder: Path) -> str:
    """Return the manifests that kustomize makes of a folder."""
    return run(*tools.kustomize(), folder)


def overlay(folder: Path, *components: str) -> Path:
    """Write an installation of the base with components; kustomize takes relative paths only."""
    folder.mkdir()
    up = Path(*[".."] * (len(folder.resolve().parts) - 1))
    named = {
        key: [str(up / str(_K8S / name).lstrip("/")) for name in names]
        for key, names in (("resources", ("base",)), ("components", components))
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **named,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
    return folder


def needs(tool: Any, *arguments: str) -> Any:
    """Return a tool, or skip or fail the test with the reason why it is missing."""
    try:
        return tool(*arguments)
    except StackMissingError as error:
        skip_or_fail(error)


def test_the_dockerfile() -> None:
    hadolint = needs(tools.python_tool, "hadolint")
    run(hadolint, DEPLOY / "Dockerfile")
    with pytest.raises(AssertionError, match="DL3007"):
        run(hadolint, "-", given="FROM debian:latest\n")


def test_the_compose_file() -> None:
    schema = json.loads(
        (needs(tools.npm_package, tools.COMPOSE) / "schemas/compose.schema.json").read_text("utf-8")
    )
    validator = jsonschema.Draft7Validator(schema)
    compose = read("compose.yaml")
    assert [error.message for error in validator.iter_errors(compose)] == []
    for broken in ({"imge": "kafka"}, {"restart": 5}, {"ports": "9092"}):
        assert list(validator.iter_errors(compose | {"services": {"kafka": broken}})), (
            f"the schema takes {broken}"
        )


def test_prometheus_rules_and_configuration() -> None:
    promtool, folder = needs(tools.promtool), DEPLOY / "prometheus"
    run(promtool, "check", "config", folder / "prometheus.yml")
    run(promtool, "check", "rules", "--lint-fatal", folder / "alerts.yml")


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    run(needs(tools.promtool), "test", "rules", "alerts_test.yml", cwd=DEPLOY / "prometheus")
    tested = {
        check["alertname"]
        for test in read("prometheus/alerts_test.yml")["tests"]
        for check in test["alert_rule_test"]
        if check["exp_alerts"]
    }
    declared = {
        rule["alert"]
        for group in read("prometheus/alerts.yml")["groups"]
        for rule in group["rules"]
    }
    assert tested <= declared
    # Those of the runbook are rung by what real workers tell.
    runbook = " ".join(
        path.read_text("utf-8") for path in Path(__file__).parent.glob("test_runbook*.py")
    )
    assert {alert for alert in declared - tested if f'"{alert}"' not in runbook} == set()


def test_every_expression_of_the_dashboards_is_promql(tmp_path: Path) -> None:
    expressions = [
        as_promql(expression) for path in DASHBOARDS for _, expression in queries(path, "expr")
    ]
    rules = [
        {"record": f"panel:{place}", "expr": expression}
        for place, expression in enumerate(expressions)
    ]
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8"
    )
    assert len(rules) > 10
    run(needs(tools.promtool), "check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize(
    "components",
    [("autoscaling", "monitoring"), ("kafka-secured", "autoscaling-secured", "monitoring"), ()],
    ids=["open", "secured", "bare"],
)
def test_the_manifests_as_kustomize_builds_them(
    components: tuple[str, ...], tmp_path: Path
) -> None:
    needs(tools.kustomize)
    made = list(yaml.safe_load_all(built(overlay(tmp_path / "overlay", *components))))
    made += documents(_K8S / "secret.example.yaml")
    names = [(one["kind"], one["metadata"]["name"]) for one in made]
    assert len(names) == len(set(names)), "one resource is made twice"
    assert sum(kind == "StatefulSet" for kind, _ in names) == len(list((_K8S / "stages").iterdir()))
    custom = [one for one in made if one["apiVersion"].startswith(_CUSTOM)]
    for version in _KUBERNETES:
        (tmp_path / "plain.yaml").write_text(
            yaml.safe_dump_all([one for one in made if one not in custom]), "utf-8"
        )
        run(
            needs(tools.python_tool, "kubernetes-validate"),
            "--strict",
            "--kubernetes-version",
            version,
            tmp_path / "plain.yaml",
        )
    if components:
        assert custom
        check_custom(yaml.safe_dump_all(custom))
    asked = [
        trigger
        for one in custom
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
    ]
    secured = "autoscaling-secured" in components
    assert all(
        (trigger.get("authenticationRef") == {"name": "switchboard-kafka"}) is secured
        for trigger in asked
    )
    assert all((trigger["metadata"].get("sasl") == "scram_sha512") is secured for trigger in asked)


def check_custom(resources: str) -> None:
    """Check KEDA's and the Prometheus operator's resources against models made from their CRDs."""
    run(
        needs(tools.python_tool, "python"),
        Path(__file__).parents[1] / "support/check_crds.py",
        given=resources,
    )


def test_the_example_is_an_installation() -> None:
    needs(tools.kustomize)
    made = list(yaml.safe_load_all(built(_K8S / "example")))
    assert {one["metadata"]["namespace"] for one in made} == {"switchboard"}
    images = {
        container["image"]
        for one in made
        if one["kind"] in ("StatefulSet", "Job")
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example.com/switchboard:0.2.0"}


def test_validators_of_manifests_see_faults(tmp_path: Path) -> None:
    first, second, *_ = documents(_K8S / "autoscaling/scaled-objects.yaml")
    first["spec"]["maxReplicaCunt"] = 3
    second["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 5000
    with pytest.raises(AssertionError, match=r"(?s)maxReplicaCunt.*lagThreshold"):
        check_custom(yaml.safe_dump_all([first, second]))
    broken = read("k8s/worker/disruption.yaml") | {"spec": {"maxUnavailble": 1}}
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(broken), "utf-8")
    with pytest.raises(AssertionError, match="maxUnavailble"):
        run(
            needs(tools.python_tool, "kubernetes-validate"),
            "--strict",
            "--kubernetes-version",
            _KUBERNETES[-1],
            tmp_path / "broken.yaml",
        )


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_of_the_types_that_grafana_publishes(path: Path, tmp_path: Path) -> None:
    board = dashboard(path)
    assert type_errors(board, tmp_path) == []
    board["panels"][1]["options"] |= {"colrMode": "value"}
    board["refrsh"] = "5s"
    wrong = " ".join(type_errors(board, tmp_path))
    assert "colrMode" in wrong
    assert "refrsh" in wrong


def type_errors(board: dict[str, Any], folder: Path) -> list[str]:
    """Return what the TypeScript compiler says of a dashboard as a constant of Grafana's own
    types.
    """
    raw = needs(tools.npm_package, tools.GRAFANA) / "dist/types/raw"
    lines = [
        (
            "import type { Dashboard, Panel, RowPanel } from"
            f' "{raw}/dashboard/x/dashboard_types.gen";'
        ),
        # Their enums are nominal, and JSON has strings: what stands in the file is the enum's text.
        (
            "type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]:"
            " Plain<T[K]> } : T;"
        ),
    ]
    lines += [
        f"import type {{ Options as {kind} }} from"
        f' "{raw}/composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen";'
        for kind, name in _PANELS.items()
    ]
    for place, panel in enumerate(board["panels"]):
        options = {name: value for name, value in panel.items() if name == "options"}
        rest = {name: value for name, value in panel.items() if name != "options"}
        lines.append(
            f"const panel{place}: Plain<{'RowPanel' if panel['type'] == 'row' else 'Panel'}> ="
            f" {json.dumps(rest)};"
        )
        if options:
            lines.append(
                f"const options{place}: Plain<Partial<{panel['type']}>> ="
                f" {json.dumps(panel['options'])};"
            )
    rest = {name: value for name, value in board.items() if name != "panels"}
    lines.append(f"const board: Plain<Dashboard> = {json.dumps(rest)};")
    (folder / "board.ts").write_text("\n".join(lines), "utf-8")
    tsc = needs(tools.npm_package, tools.TYPESCRIPT) / "lib/tsc.js"
    flags = (
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--moduleResolution",
        "bundler",
        "--module",
        "esnext",
        "--target",
        "es2022",
    )
    done = subprocess.run(
        ["node", tsc, *flags, folder / "board.ts"], capture_output=True, text=True, check=False
    )
    return re.findall(r"error TS\d+: .*", done.stdout)
