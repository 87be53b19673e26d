"""From a request's body to `Parts`, from either of the two forms it may have; and how OpenAPI describes both."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from spt_dist.serve.operations import FIELDS, Operation, Parts
from spt_dist.serve.orders import RequestError

JSON, FORM = "application/json", "multipart/form-data"


async def read_parts(request: Request, operation: Operation) -> Parts:
    """The fields of a request, raw.

    Raises:
        RequestError: the body is neither form nor JSON, a field is unknown or twice there, or no base64.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        parts = await _read_form(request, operation)
    elif kind == JSON:
        parts = _read_json(await request.body(), operation)
    else:
        raise RequestError("body", f"is `{kind[:60]}`; send {FORM} or {JSON}", 415)
    for name in operation.required:
        if name not in parts:
            raise RequestError(name, "is missing; /docs lists the fields of a request")
    return parts


async def _read_form(request: Request, operation: Operation) -> Parts:
    most = 2 * len(operation.fields)
    parts: dict[str, bytes | str] = {}
    try:
        form = await request.form(max_files=most, max_fields=most, max_part_size=MultiPartParser.max_part_size)
    except HTTPException as error:
        raise RequestError("body", f"is no readable form ({error.detail})", error.status_code) from None
    try:
        for name, part in form.multi_items():
            _check_name(name, operation, parts)
            parts[name] = await part.read() if isinstance(part, UploadFile) else part
    finally:
        await form.close()
    return parts


def _read_json(body: bytes, operation: Operation) -> Parts:
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("body", f"is not JSON ({error})", 400) from None
    if not isinstance(tree, dict):
        raise RequestError("body", f"is a JSON {type(tree).__name__}; send an object of {', '.join(operation.fields)}")
    parts: dict[str, bytes | str] = {}
    for name, value in tree.items():
        _check_name(name, operation, parts)
        parts[name] = _part(name, value)
    return parts


def _part(name: str, value: Any) -> bytes | str:
    kind = FIELDS[name].kind
    if kind == "file":
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise RequestError(name, "is no base64 text of a file") from None
    if kind == "json":
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(name, f"is a JSON {type(value).__name__}; send text")
    return str(value)


def _check_name(name: str, operation: Operation, parts: Parts) -> None:
    if name not in operation.fields:
        raise RequestError(name[:60], f"is no field of {operation.path}; there are {', '.join(operation.fields)}")
    if name in parts:
        raise RequestError(name, "is there twice; send it once")


def request_body(operation: Operation) -> dict[str, Any]:
    """The operation's body as OpenAPI describes it, in both forms."""
    forms = {FORM: _form_schema, JSON: _json_schema}
    content = {}
    for kind, describe in forms.items():
        schema = {
            "type": "object",
            "properties": {name: describe(name) for name in operation.fields},
            "required": list(operation.required),
            "additionalProperties": False,
        }
        content[kind] = {"schema": schema}
    found = {name: FIELDS[name].example for name in operation.fields}
    content[JSON]["example"] = {name: example for name, example in found.items() if example is not None}
    return {"required": True, "content": content}


def _form_schema(name: str) -> Mapping[str, Any]:
    field = FIELDS[name]
    if field.kind == "file":
        return {"type": "string", "format": "binary", "description": field.help}
    if field.kind == "json":
        described = {"type": "string", "contentMediaType": JSON, "description": f"{field.help}; as JSON"}
        return described | ({} if field.example is None else {"examples": [json.dumps(field.example)]})
    return _json_schema(name)


def _json_schema(name: str) -> Mapping[str, Any]:
    field = FIELDS[name]
    if field.kind == "file":
        return {"type": "string", "contentEncoding": "base64", "description": f"{field.help}; as base64"}
    described = {**field.schema, "description": field.help}
    return described | ({} if field.example is None else {"examples": [field.example]})
