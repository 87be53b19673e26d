"""What the endpoint tells those who run it: metrics, log lines, traces, and the dashboard that shows them."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest
from endpoint import post, raising
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from spt_dist import config
from spt_dist.serve.api import build_api
from spt_dist.serve.logs import open_log
from spt_dist.serve.metrics import Metrics
from spt_dist.serve.orders import BusyError, Replicas
from spt_dist.serve.ticket import Door, Span, Ticket
from spt_dist.serve.traces import Tracer

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana-endpoint.json"


@pytest.fixture
def log(tmp_path):
    own = logging.getLogger("spt_dist")
    before = own.handlers[:], own.level, own.propagate
    path = tmp_path / "endpoint.jsonl"
    open_log(str(path))
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    for handler in own.handlers[:]:
        own.removeHandler(handler)
        handler.close()
    own.handlers, own.level, own.propagate = before


def scrape(client) -> dict:
    """The samples of `/metrics`: (name, labels as sorted pairs) -> value."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for f in families for each in f.samples}


def test_metrics_count_requests_stages_batches_and_lookups(client, studio, parts):
    draw, batches = studio.draw, iter([(2, False), (2, True), (1, None)])

    async def tell(job):
        batch, cached = next(batches)
        return (await draw(job))._replace(batch=batch, cached=cached)

    studio.draw = tell
    for _ in range(3):
        assert post(client, parts).status_code == 200
    assert post(client, {}).status_code == 422
    assert client.get("/../etc/passwd").status_code == 404
    found = scrape(client)
    route = (("method", "POST"), ("route", "/v1/generate"))
    assert found["spt_requests_total", (*route, ("status", "200"))] == 3
    assert found["spt_requests_total", (*route, ("status", "422"))] == 1
    unknown = (("method", "unknown"), ("route", "unknown"), ("status", "404"))
    assert found["spt_requests_total", unknown] == 1
    assert found["spt_request_seconds_count", (("route", "/v1/generate"),)] == 4
    for stage, seconds in (("queue", 0.002), ("draw", 0.004)):
        assert found["spt_stage_seconds_sum", (("stage", stage),)] == pytest.approx(3 * seconds)
    assert found["spt_pictures_total", (("digest", "first-digest"), ("model", "first"))] == 3
    assert found["spt_batch_size_sum", ()] == 5
    assert found["spt_batches_total", ()] == 2  # two halves and a whole
    assert found["spt_source_lookups_total", (("result", "hit"),)] == 1
    assert found["spt_source_lookups_total", (("result", "miss"),)] == 1
    assert found["spt_requests_inside", ()] == 0
    assert found["spt_replicas", (("state", "running"),)] == 1
    assert found["spt_model_info", (("digest", "second-digest"), ("model", "second"), ("size", "12x7"))] == 1


def test_cold_starts_are_counted(client, studio, parts):
    draw = studio.draw

    async def wake(job):
        return (await draw(job))._replace(painter_since=job.deadline)

    studio.draw = wake
    post(client, parts)
    assert scrape(client)["spt_cold_starts_total", ()] == 1


def test_every_request_is_a_line_with_its_id(client, studio, parts, log):
    answer = post(client, parts)
    refused = post(client, {})
    first, second = log()
    assert first["request_id"] == answer.headers["x-request-id"]
    assert (first["route"], first["status"], first["level"]) == ("/v1/generate", 200, "INFO")
    assert first["sent_bytes"] == len(answer.content)
    assert set(first["stages"]) == {"read", "queue", "draw", "write"}
    assert first["pictures"] == [{"model": "first", "digest": "first-digest", "batch": 1, "cached": None}]
    assert (second["request_id"], second["status"]) == (refused.headers["x-request-id"], 422)


def test_lines_of_a_failure_have_the_id_too_and_the_answer_no_traceback(client, studio, parts, log):
    raising(studio, ZeroDivisionError("deep inside"))
    answer = post(client, parts)
    assert answer.status_code == 500
    assert "deep inside" not in answer.text
    failure, request = log()
    assert "deep inside" in failure["exc_info"]
    assert {failure["request_id"], request["request_id"]} == {answer.headers["x-request-id"]}
    assert request["level"] == "ERROR"


def test_nothing_of_a_request_s_content_is_logged(client, parts, log):
    post(client, parts, **{"Authorization": "Bearer spt_secret", "Idempotency-Key": "mine"})
    assert "spt_secret" not in json.dumps(log())


def test_a_trace_has_a_span_for_each_stage(studio, connect, parts, tmp_path, monkeypatch):
    spans = InMemorySpanExporter()
    monkeypatch.setattr(Tracer, "to", lambda address: Tracer(SimpleSpanProcessor(spans)))
    client = connect(build_api(studio, tmp_path, replace(config.Serve(), traces="http://127.0.0.1:4318/v1/traces")))
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = post(client, parts, traceparent=f"00-{trace}-b7ad6b7169203331-01")
    *stages, request = spans.get_finished_spans()
    assert request.name == "POST /v1/generate"
    assert f"{request.context.trace_id:032x}" == trace
    assert request.attributes["spt.request_id"] == answer.headers["x-request-id"]
    assert {each.name for each in stages} == {"read", "queue", "draw", "write"}
    assert all(each.parent.span_id == request.context.span_id for each in stages)
    draw = next(each for each in stages if each.name == "draw")
    assert draw.end_time - draw.start_time == pytest.approx(4e6, rel=0.01)


def test_without_a_collector_there_are_no_traces(studio, connect, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(Tracer, "to", lambda address: pytest.fail("a tracer was made"))
    assert post(connect(build_api(studio, tmp_path, config.Serve())), parts).status_code == 200


def test_a_busy_endpoint_is_no_error_in_the_log(client, studio, parts, log):
    raising(studio, BusyError())
    assert post(client, parts).status_code == 503
    assert log()[-1]["level"] == "INFO"


def test_the_dashboard_shows_every_metric_and_no_other():
    metrics = Metrics(Door(), lambda: 3)
    ticket = Ticket("id", spans=[Span("draw", 0.0, 1.0)], stages={"cold": 1.0})
    metrics(ticket)
    families = text_string_to_metric_families(metrics.text([], Replicas(1, 0)).decode())
    ours = {family.name for family in families if not family.name.endswith("_created")}
    shown = {
        re.sub(r"_(total|bucket|sum|count)$", "", name)
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        for name in re.findall(r"spt_[a-z_]+", target["expr"])
    }
    assert shown == ours


def test_the_dashboard_asks_for_labels_that_there_are():
    metrics = Metrics(Door(), lambda: 3)
    labels = {each._name: set(each._labelnames) | {"le"} for each in vars(metrics).values() if hasattr(each, "_name")}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            names = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"spt_\w+", target["expr"])}
            for group in re.findall(r"by \(([^)]*)\)", target["expr"]):
                for name in names:
                    assert {each.strip() for each in group.split(",")} <= labels[name], target["expr"]
