"""The HTTP interface as a FastAPI application, without Ray: whoever can draw a picture plugs in as `Draw`.

Every refusal, whoever finds it (FastAPI, the checks of `request`, a full queue, a bug), is the same JSON document:
`{"error": {"field": ..., "message": ...}}`.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import FastAPI, File, Form, Header, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spt_dist import __version__, config
from spt_dist.serve import page
from spt_dist.serve.request import (
    JOINT_FIELDS,
    BusyError,
    LabelMap,
    Order,
    Pixels,
    RequestError,
    drawn,
    png,
    read_order,
)
from spt_dist.serve.schema import Body, Drawn, Gallery, Health, Problem, Refusal


class Picture(NamedTuple):
    """A generated picture: image uint8 [h, w, 3] and its labels uint8 [h, w]."""

    image: Pixels
    labels: LabelMap


Draw = Callable[[Order], Awaitable[Picture]]
JSON = "application/json"

DESCRIPTION = """Draws the person of a photo in another pose.

Send a photo, its parsing map (which pixel is hair, which is sleeve), the joints of the person in it and the joints of
the pose that is wanted; the answer is the picture. Coordinates are pixels with the origin at the centre of the top left
pixel. The order of joints and labels is in `/v1/body`."""

JOINTS_HELP = "as JSON: 18 times [x, y, visible] or null, in the order of `/v1/body`; at least one visible"
SIZE_HELP = 'or {"joints": [...], "size": [height, width]} if they are in px of a picture of another size'
POSE_EXAMPLE = (
    "[[32,11,1],[32,19,1],[26,20,1],[22,32,1],[20,44,1],[38,20,1],[42,32,1],[44,44,1],[28,47,1],"
    "[27,66,1],[26,86,1],[36,47,1],[37,66,1],[38,86,1],[34,9,1],[30,9,1],[36,10,1],null]"
)
COMMAND = """curl http://127.0.0.1:8000/v1/generate \\
  -F image=@person.jpg -F parsing=@person.png \\
  -F 'source_joints=<person.json' -F 'target_joints=<pose.json' \\
  --fail-with-body --output drawn.png"""

REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Refusal, "description": "Too many bytes or pixels"},
    422: {"model": Refusal, "description": "A field is missing or cannot be used; `error.field` names it"},
    503: {"model": Refusal, "description": "The queue is full: try again after the seconds that `Retry-After` says"},
}
GENERATED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture; with `Accept: application/json` the picture and its parsing map",
        "content": {
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            JSON: {"schema": {"$ref": "#/components/schemas/Drawn"}},
        },
    },
}


def build_api(draw: Draw, run: Path, limits: config.Serve) -> FastAPI:
    """The interface for the run folder `run`, its pictures drawn by `draw`, within `limits`."""
    # FastAPI's own document pages load their scripts from another host; /docs is ours.
    api = FastAPI(title="spt", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    api.add_middleware(BodyLimit, limit_bytes=limits.max_upload_bytes)
    _add_refusals(api)
    _add_generate(api, draw, limits.max_pixels)
    _add_tables(api, run)
    _add_pages(api)
    return api


def _add_generate(api: FastAPI, draw: Draw, max_pixels: int) -> None:
    @api.post(
        "/v1/generate",
        summary="Draw the person in the wanted pose",
        tags=["pictures"],
        response_class=Response,
        responses=GENERATED | REFUSALS,
        openapi_extra={"x-codeSamples": [{"lang": "Shell", "source": COMMAND}]},
    )
    async def generate(
        image: Annotated[UploadFile, File(description="the photo: JPEG, PNG or WebP")],
        parsing: Annotated[UploadFile, File(description="its parsing map: PNG, one channel, labels 0 to 9, same size")],
        source_joints: Annotated[
            str, Form(description=f"the person's joints in px of the photo, {JOINTS_HELP}", examples=[POSE_EXAMPLE])
        ],
        target_joints: Annotated[
            str, Form(description=f"the wanted pose, {JOINTS_HELP}; {SIZE_HELP}", examples=[POSE_EXAMPLE])
        ],
        accept: Annotated[str, Header(description=f"`image/png`, or `{JSON}` for the parsing map too")] = "image/png",
    ) -> Response:
        files = await image.read(), await parsing.read()
        order = await run_in_threadpool(read_order, *files, source_joints, target_joints, max_pixels=max_pixels)
        picture = await draw(order)
        if JSON in accept:
            answer = await run_in_threadpool(drawn, *picture)
            return Response(answer.model_dump_json(), media_type=JSON)
        return Response(await run_in_threadpool(png, picture.image), media_type="image/png")

    _document(api, Drawn)


def _document(api: FastAPI, model: type[Drawn]) -> None:
    """Add a model that only a `$ref` names to the OpenAPI document."""
    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["components"]["schemas"].setdefault(model.__name__, model.model_json_schema())
        return document

    api.openapi = openapi


def _add_tables(api: FastAPI, run: Path) -> None:
    @api.get("/v1/gallery", summary="Sample people, each good as source and as pose", tags=["tables"])
    def gallery() -> Gallery:
        return page.read_gallery(run)

    @api.get("/v1/gallery/{name}", include_in_schema=False)
    def gallery_file(name: str) -> Response:
        return _file(page.gallery_file(run, name), name, "max-age=60")

    @api.get("/v1/body", summary="Joints, labels and bones, in their order", tags=["tables"])
    def body() -> Body:
        return page.body_tables()

    @api.get("/healthz", summary="Whether the endpoint answers", tags=["operation"])
    def healthz() -> Health:
        return Health(run=run.name, version=__version__)


def _add_pages(api: FastAPI) -> None:
    for path, name in (("/", "page.html"), ("/docs", "docs.html")):
        text = page.html(name)
        api.get(path, include_in_schema=False)(lambda text=text: HTMLResponse(text, headers=page.SECURITY_HEADERS))

    @api.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        return _file(page.asset(name), name, "no-cache")


def _file(found: tuple[bytes, str] | None, name: str, cache: str) -> Response:
    if found is None:
        return _refuse(404, "name", f"there is no file `{name}`")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": cache, **page.SECURITY_HEADERS})


def _add_refusals(api: FastAPI) -> None:
    """Give every failure the one shape of `Refusal`."""

    @api.exception_handler(RequestError)
    def refuse_field(_: Request, error: RequestError) -> Response:
        return _refuse(error.status, error.field, error.message)

    @api.exception_handler(RequestValidationError)
    def refuse_form(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        if first["type"] == "missing":
            return _refuse(422, field, "is missing; /docs lists the fields of a request")
        text, file = "text (with curl: `=<file`, not `=@file`)", "a file (with curl: `=@file`)"
        kind = text if field in JOINT_FIELDS else file
        return _refuse(422, field, f"cannot be read ({first['msg']}); send {kind}")

    @api.exception_handler(BusyError)
    def refuse_busy(_: Request, error: BusyError) -> Response:
        return _refuse(503, "", str(error), {"Retry-After": str(error.retry_after_s)})

    @api.exception_handler(HTTPException)
    def refuse_http(request: Request, error: HTTPException) -> Response:
        detail = error.detail
        if error.status_code in (404, 405):
            detail = f"{request.method} {request.url.path}: {detail}; /docs lists what there is"
        return _refuse(error.status_code, "body" if error.status_code in (400, 413) else "", detail, error.headers)

    @api.exception_handler(Exception)
    def refuse_bug(_: Request, error: Exception) -> Response:
        return _refuse(500, "", f"the endpoint failed ({type(error).__name__}); its log says why")


def _refuse(status: int, field: str, message: str, headers: Any = None) -> Response:
    refusal = Refusal(error=Problem(field=field, message=message))
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
