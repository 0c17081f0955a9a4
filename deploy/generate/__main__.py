"""Generate the files of deploy/ that follow from the code; `--check` only compares them.

These are Grafana's dashboards, KEDA's triggers and the rules of the Prometheus operator. Run it
from the root of the repository: python -m deploy.generate
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.generate import analysts, kubernetes, operations
from deploy.generate.panels import as_json

_DEPLOY = Path(__file__).resolve().parents[1]


def generated() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    alerts = (_DEPLOY / "prometheus/alerts.yml").read_text("utf-8")
    texts = {
        "grafana/dashboards/operations.json": as_json(operations.dashboard()),
        "grafana/dashboards/analysts.json": as_json(analysts.dashboard()),
        "k8s/autoscaling/scaled-objects.yaml": kubernetes.scaled_objects(),
        "k8s/autoscaling-secured/kustomization.yaml": kubernetes.secured(),
        "k8s/monitoring/alerts.yaml": kubernetes.rules(alerts),
    }
    return {_DEPLOY / name: text for name, text in texts.items()}


def main() -> None:
    """Write the files; with `--check`, exit with 1 if one differs."""
    files = generated()
    if "--check" not in sys.argv[1:]:
        for path, text in files.items():
            path.write_text(text, "utf-8")
        return
    stale = [
        path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    for path in stale:
        print(
            f"{path.relative_to(_DEPLOY.parent)} is out of date: run `make generate`",
            file=sys.stderr,
        )
    sys.exit(bool(stale))


if __name__ == "__main__":
    main()
