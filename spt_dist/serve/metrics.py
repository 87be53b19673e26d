"""What `/metrics` tells Prometheus.

All of it is known where HTTP is answered, since a picture comes back with how it was drawn: there is one place to
scrape, whatever the number of replicas. `deploy/grafana-endpoint.json` shows every metric.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from spt_dist.serve.orders import Model, Replicas
from spt_dist.serve.ticket import Door, Painted, Ticket

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
UNKNOWN = "unknown"  # for the route and the method of a path that is none: both come from strangers then


class Metrics:
    """The metrics of one endpoint; counts every ticket that it is shown. `waiting` tells the length of the queue."""

    def __init__(self, door: Door, waiting: Callable[[], int]) -> None:
        at = self.registry = CollectorRegistry()
        self.requests = Counter("spt_requests", "Requests answered", ("route", "method", "status"), registry=at)
        self.seconds = Histogram(
            "spt_request_seconds", "From first byte to last", ("route",), buckets=SECONDS, registry=at
        )
        self.stages = Histogram(
            "spt_stage_seconds", "Of a stage: read, queue, draw, write", ("stage",), buckets=SECONDS, registry=at
        )
        self.inside = Gauge("spt_requests_inside", "Requests for pictures under way", registry=at)
        self.inside.set_function(lambda: door.inside)
        self.waiting = Gauge("spt_pictures_waiting", "Pictures ordered and not drawn yet", registry=at)
        self.waiting.set_function(waiting)
        self.pictures = Counter("spt_pictures", "Pictures drawn", ("model", "digest"), registry=at)
        self.batch = Histogram(
            "spt_batch_size", "Of each picture: how many were drawn together", buckets=BATCHES, registry=at
        )
        self.batches = Counter("spt_batches", "Batches drawn; pictures by batches is the mean batch", registry=at)
        self.lookups = Counter("spt_source_lookups", "Encoded sources looked up", ("result",), registry=at)
        self.cold = Counter("spt_cold_starts", "Requests that waited for a replica to start", registry=at)
        self.replicas = Gauge("spt_replicas", "Replicas that draw", ("state",), registry=at)
        self.models = Gauge("spt_model_info", "1 for each model served", ("model", "digest", "size"), registry=at)

    def __call__(self, ticket: Ticket) -> None:
        """Count a request that is over."""
        route, method = (ticket.route, ticket.method) if ticket.route else (UNKNOWN, UNKNOWN)
        self.requests.labels(route, method, ticket.status).inc()
        self.seconds.labels(route).observe(ticket.seconds)
        for span in ticket.spans:
            self.stages.labels(span.name).observe(span.seconds)
        if "cold" in ticket.stages:
            self.cold.inc()
        for picture in ticket.pictures:
            self._count(picture)

    def text(self, models: Iterable[Model], replicas: Replicas) -> bytes:
        """All metrics of now, as Prometheus reads them."""
        for state, count in replicas._asdict().items():
            self.replicas.labels(state).set(count)
        self.models.clear()  # weights that are no longer served
        for model in models:
            self.models.labels(model.id, model.digest, "{}x{}".format(*model.size)).set(1)
        return generate_latest(self.registry)

    def _count(self, picture: Painted) -> None:
        self.pictures.labels(picture.model, picture.digest).inc()
        self.batch.observe(picture.batch)
        self.batches.inc(1 / picture.batch)
        if picture.cached is not None:
            self.lookups.labels("hit" if picture.cached else "miss").inc()
