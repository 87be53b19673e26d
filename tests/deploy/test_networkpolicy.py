"""Who gets in: the policy meets every pod, and opens the few ports that somebody outside needs."""

import pytest
from manifests import CLUSTERS, documents, pods

LABEL = {"matchLabels": {"app.kubernetes.io/part-of": "spt-dist"}}
(POLICY,) = (document["spec"] for document in documents("networkpolicy.yaml"))


def namespaces(direction: str, peers: str) -> dict[str, set[int]]:
    """Which ports every namespace may use; "" is this one, and no port stands for all."""
    found: dict[str, set[int]] = {}
    for rule in POLICY[direction]:
        for peer in rule[peers]:
            labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
            name = labels.get("kubernetes.io/metadata.name", "")
            found.setdefault(name, set()).update(port["port"] for port in rule.get("ports", ()))
    return found


@pytest.mark.parametrize("file", CLUSTERS)
def test_every_pod_is_under_the_policy(file):
    assert POLICY["podSelector"] == LABEL
    for pod in pods(file):
        assert LABEL["matchLabels"].items() <= pod.template["metadata"]["labels"].items()


def test_nothing_is_open_but_what_somebody_needs():
    assert set(POLICY["policyTypes"]) == {"Ingress", "Egress"}
    assert namespaces("ingress", "from") == {
        "": set(),
        "gateway": {8000},
        "monitoring": {8080},
        "kuberay": {8265, 8000},
    }
    assert namespaces("egress", "to") == {"": set(), "kube-system": {53}}


@pytest.mark.parametrize(("direction", "peers"), [("ingress", "from"), ("egress", "to")])
def test_rules_without_ports_are_for_our_own_pods(direction, peers):
    for rule in POLICY[direction]:
        assert rule[peers]  # none would mean everybody
        assert "ports" in rule or rule[peers] == [{"podSelector": LABEL}]


def test_opened_ports_are_ports_of_the_pods():
    head, worker = pods("rayservice.yaml")
    listening = {port["containerPort"] for pod in (head, worker) for port in pod.containers[0]["ports"]}
    opened = set().union(*namespaces("ingress", "from").values())
    assert opened <= listening
