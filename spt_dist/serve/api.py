"""The HTTP interface as a FastAPI application, without Ray: whoever can draw plugs in as a `Studio`.

Every refusal, whoever finds it (FastAPI, the readers, a full queue, a bug), is the same JSON document:
`{"error": {"field": ..., "message": ..., "request_id": ...}}`.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spt_dist import __version__, config
from spt_dist.box import OFF
from spt_dist.serve import page
from spt_dist.serve.answers import FORMATS
from spt_dist.serve.desk import DEADLINE, IDEMPOTENCY, NDJSON, Desk, bug, problem_of
from spt_dist.serve.keys import HEADER, SCHEME, Gate
from spt_dist.serve.logs import log_request
from spt_dist.serve.metrics import CONTENT_TYPE_LATEST, Metrics
from spt_dist.serve.operations import ANNOTATE, EDIT, GENERATE, POSES, TRANSFER, Operation
from spt_dist.serve.orders import BusyError, DeadlineError, RequestError, Studio
from spt_dist.serve.reading import JSON, request_body
from spt_dist.serve.schema import (
    AnnotatedAnswer,
    Body,
    Done,
    Gallery,
    Health,
    Line,
    ModelEntry,
    Models,
    Painters,
    PictureAnswer,
    Problem,
    Ready,
    Refusal,
)
from spt_dist.serve.ticket import Door, Ticket, Tickets, ticket_of
from spt_dist.serve.traces import Tracer

DESCRIPTION = """Draws the person of a photo in another pose, in other clothes, or with another parsing map.

Send a photo, its parsing map (which pixel is hair, which is sleeve), the joints of the person in it and what is
wanted; the answer is the picture. Of a raw photo alone the endpoint finds both; `/v1/annotate` shows what it finds.
Coordinates are px, (0, 0) is the centre of the top left one. The order of joints and labels is in `/v1/body`. Requests
are forms or JSON with the same fields; every answer has an `X-Request-Id`, and its times are in `Server-Timing`."""

REFUSED = {
    400: "The body is no form and no JSON",
    401: "The endpoint has keys, and the request none of them",
    413: "Too many bytes or pixels",
    415: "The body is neither `multipart/form-data` nor `application/json`",
    422: "A field is missing or cannot be used; `error.field` names it",
    429: "The key's rate or quota is used up: try again after the seconds that `Retry-After` says",
    503: "Busy, waking or shutting down: try again after the seconds that `Retry-After` says",
    504: "The deadline passed",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text} for status, text in REFUSED.items()
}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture; with `Accept: application/json` the picture and its parsing map",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in FORMATS.values()}
        | {JSON: {"schema": {"$ref": "#/components/schemas/PictureAnswer"}}},
    },
}
LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JSON document per line: `Line` for each pose as it is ready, at the end `Done`",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    },
}
Timeout = Annotated[str | None, Header(alias=DEADLINE, description="seconds after which the answer is of no use")]
Key = Annotated[str | None, Header(alias=IDEMPOTENCY, description="the same request under it gets the same answer")]


def build_api(
    studio: Studio,
    run: Path,
    limits: config.Serve,
    *,
    door: Door | None = None,
    proxied: bool = False,
) -> FastAPI:
    """The interface within `limits`: `studio` draws, `run` has the gallery, whoever orders a picture is behind `door`.

    With `proxied` a proxy in front adds the request's id to its answer, as Ray's does.
    """
    # FastAPI's own document pages load their scripts from another host; /docs is ours.
    api = FastAPI(title="spt", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    door, gate = door or Door(), Gate(limits.keys)
    desk = Desk(studio, limits, gate)
    metrics = Metrics(door, lambda: desk.waiting)
    MultiPartParser.spool_max_size = limits.max_upload_bytes  # no photo is ever written to disk
    api.add_middleware(BodyLimit, limit_bytes=limits.max_upload_bytes)
    watchers = [metrics, log_request, *([Tracer.to(limits.traces)] if limits.traces else [])]
    api.add_middleware(Tickets, refuse=_refuse_bug, proxied=proxied, watchers=watchers)
    _add_refusals(api)
    _add_pictures(api, desk, door)
    _add_tables(api, run)
    _add_state(api, studio, door, limits.annotator != OFF)
    _add_metrics(api, studio, metrics, gate)
    _add_pages(api)
    return api


def _add_pictures(api: FastAPI, desk: Desk, door: Door) -> None:
    async def inside(request: Request) -> AsyncIterator[None]:  # until the last byte has gone
        desk.admit(request)
        with door.enter():
            yield

    guard = [Depends(inside)]
    for operation in (GENERATE, TRANSFER, EDIT):
        _add_operation(api, operation, desk, guard)

    stream: dict[str, Any] = {"response_class": StreamingResponse, "responses": LINES | REFUSALS}

    @api.post(POSES.path, dependencies=guard, **stream, **_documented(POSES))
    async def poses(request: Request, timeout: Timeout = None) -> Response:
        return StreamingResponse(await desk.many(request, POSES), media_type=NDJSON)

    @api.post(ANNOTATE.path, dependencies=guard, responses=REFUSALS, **_documented(ANNOTATE))
    async def annotate(request: Request, timeout: Timeout = None) -> AnnotatedAnswer:
        return await desk.found(request, ANNOTATE)

    _document(api, PictureAnswer, Line, Done)


def _add_operation(api: FastAPI, operation: Operation, desk: Desk, guard: Sequence[Any]) -> None:
    picture: dict[str, Any] = {"response_class": Response, "responses": PICTURE | REFUSALS}

    @api.post(operation.path, dependencies=guard, **picture, **_documented(operation))
    async def draw(request: Request, timeout: Timeout = None, key: Key = None) -> Response:
        reply = await desk.one(request, operation)
        return Response(reply.content, media_type=reply.media_type, headers=dict(reply.headers))


def _documented(operation: Operation) -> dict[str, Any]:
    sample = {"lang": "Shell", "source": operation.command}
    extra = {"requestBody": request_body(operation), "x-codeSamples": [sample]}
    return {"summary": operation.summary, "tags": ["pictures"], "operation_id": operation.name, "openapi_extra": extra}


def _document(api: FastAPI, *models: type[BaseModel]) -> None:
    """Add models that only a `$ref` or a text names to the OpenAPI document."""
    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document["components"]["schemas"]
        for model in models:
            found = model.model_json_schema(ref_template="#/components/schemas/{model}")
            found.pop("$defs", None)
            schemas.setdefault(model.__name__, found)
        return document

    api.openapi = openapi


def _add_tables(api: FastAPI, run: Path) -> None:
    @api.get("/v1/gallery", summary="Sample people, each good as source and as pose", tags=["tables"])
    def gallery() -> Gallery:
        return page.read_gallery(run)

    @api.get("/v1/gallery/{name}", include_in_schema=False)
    def gallery_file(request: Request, name: str) -> Response:
        return _file(request, page.gallery_file(run, name), name, "max-age=60")

    @api.get("/v1/body", summary="Joints, labels, bones and edits, in their order", tags=["tables"])
    def body() -> Body:
        return page.body_tables()


def _add_state(api: FastAPI, studio: Studio, door: Door, annotates: bool) -> None:
    async def painters() -> Painters:
        return Painters.model_validate((await studio.replicas())._asdict())

    @api.get("/v1/models", summary="What is served, and by how many replicas", tags=["tables"])
    async def models() -> Models:
        entries = [
            ModelEntry(id=model.id, size=model.size, digest=model.digest, default=index == 0, noise=model.noise)
            for index, model in enumerate(studio.models.values())
        ]
        return Models(models=entries, replicas=await painters(), annotates=annotates)

    @api.get("/healthz", summary="Whether the endpoint answers", tags=["operation"])
    def healthz() -> Health:
        return Health(run=next(iter(studio.models)), version=__version__)

    @api.get(
        "/readyz",
        summary="Whether pictures can be asked for",
        tags=["operation"],
        responses={503: {"model": Refusal, "description": "Starting, or shutting down"}},
    )
    async def readyz() -> Ready:
        found = await painters()
        if door.closed:
            raise BusyError("the endpoint is shutting down", 5)
        if found.starting and not found.running:
            raise BusyError("the first replica is starting", 5)
        return Ready(status="ready" if found.running else "asleep", replicas=found)


def _add_metrics(api: FastAPI, studio: Studio, metrics: Metrics, gate: Gate) -> None:
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @api.get("/metrics", summary="For Prometheus", tags=["operation"], responses=text, response_class=Response)
    async def report(request: Request) -> Response:
        gate.admit(request.headers.get(HEADER, ""))
        found = metrics.text(studio.models.values(), await studio.replicas())
        return Response(found, media_type=CONTENT_TYPE_LATEST)


def _add_pages(api: FastAPI) -> None:
    for path, name in (("/", "page.html"), ("/docs", "docs.html")):
        text = page.html(name)
        api.get(path, include_in_schema=False)(lambda text=text: HTMLResponse(text, headers=page.SECURITY_HEADERS))

    @api.get("/assets/{name}", include_in_schema=False)
    def asset(request: Request, name: str) -> Response:
        return _file(request, page.asset(name), name, "no-cache")


def _file(request: Request, found: tuple[bytes, str] | None, name: str, cache: str) -> Response:
    if found is None:
        return _refuse(ticket_of(request), 404, "name", f"there is no file `{name[:80]}`")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": cache, **page.SECURITY_HEADERS})


def _add_refusals(api: FastAPI) -> None:
    """Give every failure the one shape of `Refusal`."""

    @api.exception_handler(RequestError)
    @api.exception_handler(BusyError)
    @api.exception_handler(DeadlineError)
    def refuse_picture(request: Request, error: RequestError | BusyError | DeadlineError) -> Response:
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, BusyError) else {}
        if error.status == 401:
            headers["WWW-Authenticate"] = SCHEME
        refusal = Refusal(error=problem_of(error, ticket_of(request).request_id))
        return JSONResponse(refusal.model_dump(), error.status, headers)

    @api.exception_handler(RequestValidationError)
    def refuse_parameter(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _refuse(ticket_of(request), 422, str(first["loc"][-1]), f"cannot be read ({first['msg']})")

    @api.exception_handler(HTTPException)
    def refuse_http(request: Request, error: HTTPException) -> Response:
        detail, status = error.detail, error.status_code
        if status in (404, 405):
            detail = f"{request.method[:20]} {request.url.path[:80]}: {detail}; /docs lists what there is"
        return _refuse(ticket_of(request), status, "body" if status in (400, 413) else "", detail, error.headers)


def _refuse_bug(ticket: Ticket) -> Response:
    return JSONResponse(Refusal(error=bug(ticket.request_id)).model_dump(), 500)


def _refuse(ticket: Ticket, status: int, field: str, message: str, headers: Any = None) -> Response:
    refusal = Refusal(error=Problem(field=field, message=message, request_id=ticket.request_id))
    return JSONResponse(refusal.model_dump(), status, headers)


class BodyLimit:
    """ASGI middleware: refuses a request of more than `limit_bytes`, by its declared length or while it arrives."""

    def __init__(self, app: ASGIApp, limit_bytes: int):
        self.app, self.limit_bytes = app, limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if max(received, _declared_bytes(scope)) > self.limit_bytes:
                size = f"{max(received, _declared_bytes(scope)):,} bytes or more"
                raise HTTPException(413, f"the request has {size}; {self.limit_bytes:,} are allowed; send less")
            return message

        await self.app(scope, counted, send)


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope.get("headers", ())).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0
