"""The RayService's application is `serve.yaml`'s, and its replicas find their GPUs."""

import pytest
import yaml
from manifests import documents, gpus, pods

from spt_dist import config

(SERVICE,) = documents("rayservice.yaml")
OURS = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])
(PLAIN,) = documents("serve.yaml")
DIFFERENT = {
    "http_options.host",
    "applications.0.args.runs.demo",  # runs are named by their owner
    "applications.0.args.runs.spt",
    "applications.0.args.serve.max_replicas",
    "applications.0.args.serve.gpus_per_replica",
}


def flat(tree, prefix: str = "") -> dict:
    """The leaves of nested dictionaries and lists by their dotted paths."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if items is None:
        return {prefix: tree}
    found = {}
    for key, value in items:
        found |= flat(value, f"{prefix}.{key}".lstrip("."))
    return found


def test_the_application_is_the_plain_one_but_for_named_keys():
    ours, plain = flat(OURS), flat(PLAIN)
    different = {key for key in ours.keys() | plain.keys() if ours.get(key) != plain.get(key)}
    assert different == DIFFERENT


def test_the_application_listens_where_the_pods_do():
    assert OURS["http_options"]["host"] == "0.0.0.0"
    for pod in pods("rayservice.yaml"):
        ports = {port["name"]: port["containerPort"] for port in pod.containers[0]["ports"]}
        assert ports["serve"] == OURS["http_options"]["port"]


def test_the_limits_are_a_configuration():
    (application,) = OURS["applications"]
    assert application["args"].keys() == {"runs", "serve"}
    limits = config.from_tree({"serve": application["args"]["serve"]}).serve
    assert limits.max_ongoing_requests >= max(limits.max_batch, limits.target_ongoing_requests)
    with pytest.raises(config.ConfigError, match="max_replica"):
        config.from_tree({"serve": {**application["args"]["serve"], "max_replica": 1}})


def test_the_run_is_the_one_that_is_trained():
    (job,) = documents("rayjob.yaml")
    words = job["spec"]["entrypoint"].split()
    assert OURS["applications"][0]["args"]["runs"]["spt"] == words[words.index("-o") + 1]


def test_all_replicas_find_a_gpu_and_no_gpu_stays_without():
    limits = OURS["applications"][0]["args"]["serve"]
    assert limits["gpus_per_replica"] == 1
    assert limits["max_replicas"] * limits["gpus_per_replica"] == gpus("rayservice.yaml")
    cpus = int(pods("rayservice.yaml")[1].containers[0]["resources"]["limits"]["cpu"])
    assert limits["cpus_per_replica"] <= cpus
