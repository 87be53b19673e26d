"""Traces of requests for OpenTelemetry: a span for the request, and within it one for each stage.

A request that comes with a W3C `traceparent` continues that trace. Off unless somebody names a collector.
"""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spt_dist import __version__
from spt_dist.serve.ticket import Ticket


class Tracer:
    """Makes spans of every ticket that it is shown, and hands them to a processor."""

    def __init__(self, processor: SpanProcessor) -> None:
        resource = Resource.create({SERVICE_NAME: "spt", SERVICE_VERSION: __version__})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(processor)
        self.tracer = provider.get_tracer(__name__)

    @classmethod
    def to(cls, address: str) -> "Tracer":
        """To a collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`."""
        return cls(BatchSpanProcessor(OTLPSpanExporter(address)))

    def __call__(self, ticket: Ticket) -> None:
        """Make the spans of a request that is over."""
        carrier = {"traceparent": ticket.traceparent} if ticket.traceparent else {}
        request = self.tracer.start_span(
            f"{ticket.method} {ticket.route}",
            TraceContextTextMapPropagator().extract(carrier),
            SpanKind.SERVER,
            start_time=_ns(ticket.arrived),
            attributes={
                "http.request.method": ticket.method,
                "http.route": ticket.route,
                "http.response.status_code": ticket.status,
                "spt.request_id": ticket.request_id,
                "spt.pictures": len(ticket.pictures),
            },
        )
        within = set_span_in_context(request)
        for span in ticket.spans:
            stage = self.tracer.start_span(span.name, within, start_time=_ns(span.start))
            stage.end(_ns(span.start + span.seconds))
        if ticket.status >= 500:
            request.set_status(Status(StatusCode.ERROR))
        request.end(_ns(ticket.arrived + ticket.seconds))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
