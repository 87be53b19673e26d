"""Every metric that an alert or a panel asks for is one that the installed Ray exports, under that name and kind."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from manifests import CLUSTERS, DEPLOY, documents, pods

FOLDERS = ("serve", "serve/_private", "dashboard/modules/reporter", "train/v2/_internal/metrics")
DEFINED = re.compile(r'\b(Counter|Gauge|Histogram)\(\s*(?:name=)?f?"([a-z0-9_{}]+)"')
NAMED = re.compile(r'^    [A-Z_]+_TIME_S = "(train_[a-z_]+)"', re.MULTILINE)  # Ray Train's times: gauges
SUFFIXES = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}


def exported() -> set[str]:
    """The names under which Prometheus finds what Ray's source defines."""
    ray = Path(find_spec("ray").origin).parent
    names = set()
    for file in (file for folder in FOLDERS for file in (ray / folder).glob("*.py")):
        text = file.read_text()
        found = DEFINED.findall(text) + [("Gauge", name) for name in NAMED.findall(text)]
        for kind, name in found:
            plain = name.replace("{protocol_name}", "http")
            names |= {f"ray_{plain.removesuffix('_total') if suffix else plain}{suffix}" for suffix in SUFFIXES[kind]}
    return names


def rules() -> list[dict]:
    (document,) = (document for document in documents("prometheus-rules.yaml") if document["kind"] == "PrometheusRule")
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


def panels() -> list[dict]:
    return json.loads((DEPLOY / "grafana.json").read_text())["panels"]


def used(expression: str) -> set[str]:
    """The metrics of an expression: what is left of its `ray_` names without labels."""
    without_labels = re.sub(r"\{[^}]*\}|\b(by|without|on)\s*\([^)]*\)", "", expression)
    return set(re.findall(r"\bray_\w+", without_labels))


EXPORTED = exported()
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in rules()} | {
    f"{panel['title']}: {target['legendFormat']}": target["expr"] for panel in panels() for target in panel["targets"]
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_metrics_are_rays(name):
    metrics = used(EXPRESSIONS[name])
    assert metrics
    assert metrics <= EXPORTED


@pytest.mark.parametrize(
    "name",
    [
        "ray_serve_deployment_error_counter",  # a counter's name ends in _total
        "ray_serve_http_request_latency_ms",  # a histogram's in _bucket, _sum or _count
        "ray_node_gpus_utilization_total",  # and a gauge's in neither
        "ray_serve_num_grpc_requests_total",
    ],
)
def test_wrong_names_are_found(name):
    assert name not in EXPORTED


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_brackets_close(name):
    for opening, closing in ("()", "{}", "[]"):
        assert EXPRESSIONS[name].count(opening) == EXPRESSIONS[name].count(closing)
    assert EXPRESSIONS[name].count('"') % 2 == 0


def test_labels_name_the_application_that_is_served():
    (plain,) = documents("serve.yaml")
    application = plain["applications"][0]["name"]
    source = (DEPLOY.parent / "spt_dist/serve/replicas.py").read_text()
    text = "\n".join(EXPRESSIONS.values())
    assert set(re.findall(r'application="(\w+)"', text)) == {application}
    for deployment in set(re.findall(r'deployment="(\w+)"', text)):
        assert f"class {deployment}:" in source
    for route in set(re.findall(r'route="([^"]+)"', text)):
        assert f'"{route}"' in (DEPLOY.parent / "spt_dist/serve/operations.py").read_text()


def test_prometheus_reads_every_pod():
    (monitor,) = (document for document in documents("prometheus-rules.yaml") if document["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for pod in [pod for file in CLUSTERS for pod in pods(file)]:
        assert monitor["spec"]["selector"]["matchLabels"].items() <= pod.template["metadata"]["labels"].items()
        (port,) = (port for port in pod.containers[0]["ports"] if port["name"] == endpoint["port"])
        assert port["containerPort"] == 8080


def test_panels_are_apart_and_numbered():
    numbers = [panel["id"] for panel in panels()]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


def test_alerts_say_what_is_wrong_and_how_bad_it_is():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
