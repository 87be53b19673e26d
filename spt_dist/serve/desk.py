"""The desk at which pictures are ordered: from a request's parts to a job, from what was drawn to an answer.

One picture is one job, one answer. Several poses are as many jobs under way together, and an answer of lines, each sent
when its picture is there.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.requests import Request

from spt_dist import config
from spt_dist.box import OFF
from spt_dist.provenance import Origin, Sealer, encode
from spt_dist.serve import answers
from spt_dist.serve.annotating import Annotating
from spt_dist.serve.keys import HEADER, Gate
from spt_dist.serve.operations import LARGEST_SEED, Operation, Parts, text
from spt_dist.serve.orders import BusyError, DeadlineError, Drawn, Job, Model, RequestError, Studio
from spt_dist.serve.reading import JSON, read_parts
from spt_dist.serve.schema import AnnotatedAnswer, Done, Line, PictureAnswer, Problem
from spt_dist.serve.ticket import Ticket, ticket_of

DEADLINE, IDEMPOTENCY = "Request-Timeout", "Idempotency-Key"
NDJSON = "application/x-ndjson"
LONGEST_KEY = 128
logger = logging.getLogger(__name__)


class Options:
    """How a picture is wanted: the fields of `operations.OPTIONS`, read; `RequestError` names a bad one."""

    def __init__(self, parts: Parts, studio: Studio, accept: str, operation: Operation) -> None:
        self.operation = operation.name
        self.model = _model(studio, text(parts, "model", next(iter(studio.models))))
        by_accept = [name for name, kind in answers.FORMATS.items() if accept.strip() == kind]
        self.format = text(parts, "format", by_accept[0] if by_accept else "png")
        if self.format not in answers.FORMATS:
            raise RequestError("format", f"`{self.format[:20]}` is none of {', '.join(answers.FORMATS)}")
        self.as_json = JSON in accept
        seed = _seed(parts)
        self.seed = seed if self.model.noise else None


class Desk:
    """Takes requests for pictures, and answers them from a studio."""

    def __init__(self, studio: Studio, limits: config.Serve, gate: Gate) -> None:
        self.studio, self.limits, self.gate = studio, limits, gate
        self.kept = answers.Kept()
        self.sealer = Sealer(limits.provenance, limits.identity)
        self.waiting = 0  # pictures that were ordered from the studio and are not there yet

    def admit(self, request: Request) -> None:
        """Let in whoever has a key, before anything of the request's body is read; `RequestError` otherwise."""
        found = request.state.key = self.gate.admit(request.headers.get(HEADER, ""))
        ticket_of(request).key = found.name if found else ""

    async def one(self, request: Request, operation: Operation) -> answers.Reply:
        """The picture that a request asks for, as it asks for it."""
        ticket = ticket_of(request)
        deadline, key = _deadline(request, ticket, self.limits.deadline_s), request.headers.get(IDEMPOTENCY, "")
        if len(key) > LONGEST_KEY:
            raise RequestError(IDEMPOTENCY, f"has {len(key):,} characters; {LONGEST_KEY} are allowed")
        with ticket.stage("read"):
            parts = await read_parts(request, operation)
        options = Options(parts, self.studio, request.headers.get("accept", ""), operation)

        async def draw() -> answers.Reply:
            self.gate.charge(request.state.key, 1)
            whole = await self._annotating(request, deadline).complete(operation, parts)
            with ticket.stage("read"):
                (order,) = await run_in_threadpool(operation.read, whole, self.limits)
            job = Job(order, options.model, deadline, ticket.request_id, options.seed)
            return await self._draw(job, options, ticket)

        if not key:
            return await draw()
        digest = answers.digest(f"{operation.path} {options.as_json} {options.format}", parts)
        return await self.kept.once(f"{ticket.key}/{key}", digest, draw)  # a name of its own for each API key

    async def many(self, request: Request, operation: Operation) -> AsyncIterator[bytes]:
        """The lines of an answer of several pictures; whatever is wrong with the request is raised at once."""
        ticket = ticket_of(request)
        deadline = _deadline(request, ticket, self.limits.deadline_s)
        with ticket.stage("read"):
            parts = await read_parts(request, operation)
        whole = await self._annotating(request, deadline).complete(operation, parts)
        with ticket.stage("read"):
            orders = await run_in_threadpool(operation.read, whole, self.limits)
        self.gate.charge(request.state.key, len(orders))
        options = Options(parts, self.studio, request.headers.get("accept", ""), operation)
        jobs = [Job(order, options.model, deadline, ticket.request_id, options.seed) for order in orders]
        return self._lines(jobs, options, ticket)

    async def found(self, request: Request, operation: Operation) -> AnnotatedAnswer:
        """What a raw photo shows."""
        ticket = ticket_of(request)
        deadline = _deadline(request, ticket, self.limits.deadline_s)
        with ticket.stage("read"):
            parts = await read_parts(request, operation)
        if self.limits.annotator == OFF:
            raise RequestError("image", "this endpoint annotates no photos: `serve.annotator` is off")
        found = await self._annotating(request, deadline).look("image", parts)
        with ticket.stage("write"):
            parsing = await run_in_threadpool(encode, found.labels, "png")
        height, width = found.labels.shape
        return AnnotatedAnswer(
            joints=found.joints.tolist(),
            parsing=answers.as_text(parsing),
            size=[height, width],
            confidence=found.confidence.tolist(),
            box=list(found.box),
            annotator=found.annotator,
            request_id=ticket.request_id,
        )

    def _annotating(self, request: Request, deadline: float) -> Annotating:
        key = request.state.key
        return Annotating(
            self.studio, self.limits, ticket_of(request), deadline, lambda count: self.gate.charge(key, count)
        )

    async def _lines(self, jobs: list[Job], options: Options, ticket: Ticket) -> AsyncIterator[bytes]:
        brushes = asyncio.Semaphore(self.limits.max_ongoing_requests)  # one request does not fill the whole queue

        async def draw(index: int, job: Job) -> Line:
            async with brushes:
                asked = time.time()
                try:
                    drawn = await self._patient(job)
                except (RequestError, BusyError, DeadlineError) as error:
                    return Line(index=index, error=problem_of(error, ticket.request_id))
                except Exception:
                    logger.exception("pose %d of request %s failed", index, ticket.request_id)
                    return Line(index=index, error=bug(ticket.request_id))
            ticket.note(job.model, drawn, asked)
            picture, parsing = await self._files(drawn, job, options, ticket, with_map=True)
            return Line(index=index, image=answers.as_text(picture), parsing=answers.as_text(parsing))

        tasks = [asyncio.create_task(draw(index, job)) for index, job in enumerate(jobs)]
        try:
            for task in asyncio.as_completed(tasks):
                yield _json_line(await task)
            yield _json_line(Done(done=len(tasks), request_id=ticket.request_id))
        finally:
            for task in tasks:  # whoever hung up wants no more
                task.cancel()

    async def _patient(self, job: Job) -> Drawn:
        """Draw, and where all are busy try again until the deadline."""
        while True:
            try:
                return await self._ordered(job)
            except BusyError as busy:
                if job.left_s < busy.retry_after_s:
                    raise
                await asyncio.sleep(busy.retry_after_s)

    async def _ordered(self, job: Job) -> Drawn:
        self.waiting += 1
        try:
            return await self.studio.draw(job)
        finally:
            self.waiting -= 1

    async def _draw(self, job: Job, options: Options, ticket: Ticket) -> answers.Reply:
        asked = time.time()
        drawn = await self._ordered(job)
        ticket.note(job.model, drawn, asked)
        picture, parsing = await self._files(drawn, job, options, ticket, with_map=options.as_json)
        if not options.as_json:
            return answers.Reply(picture, answers.FORMATS[options.format])
        answer = PictureAnswer(
            image=answers.as_text(picture),
            parsing=answers.as_text(parsing),
            format=options.format,
            model=options.model.id,
            digest=drawn.digest,
            seed=options.seed,
            request_id=ticket.request_id,
            window=drawn.window,
        )
        return answers.Reply(answer.model_dump_json().encode(), JSON)

    async def _files(
        self, drawn: Drawn, job: Job, options: Options, ticket: Ticket, *, with_map: bool
    ) -> tuple[bytes, bytes]:
        """The picture, and its parsing map, which is empty where nobody wants it."""
        seed = "" if job.seed is None else str(job.seed)
        origin = Origin(options.operation, job.model.id, drawn.digest, ticket.request_id, seed)
        with ticket.stage("write"):
            picture = await run_in_threadpool(self.sealer.encode, drawn.image, options.format, origin)
            parsing = await run_in_threadpool(encode, drawn.labels, "png") if with_map else b""
        return picture, parsing


def problem_of(error: RequestError | BusyError | DeadlineError, request_id: str) -> Problem:
    """What an error says to whoever sent the request."""
    if isinstance(error, RequestError):
        return Problem(field=error.field, message=error.message, request_id=request_id)
    return Problem(field="", message=str(error), request_id=request_id)


def bug(request_id: str) -> Problem:
    """What is said of a failure of our own."""
    message = f"the endpoint failed; its log says why, under {request_id}"
    return Problem(field="", message=message, request_id=request_id)


def _model(studio: Studio, wanted: str) -> Model:
    if wanted not in studio.models:
        raise RequestError("model", f"`{wanted[:60]}` is not served; there are {', '.join(studio.models)}")
    return studio.models[wanted]


def _seed(parts: Parts) -> int | None:
    if "seed" not in parts:
        return None
    words = text(parts, "seed")
    if not words.isascii() or not words.isdigit() or len(words) > 10 or int(words) > LARGEST_SEED:
        raise RequestError("seed", f"`{words[:20]}` is no whole number from 0 to {LARGEST_SEED}")
    return int(words)


def _deadline(request: Request, ticket: Ticket, most_s: float) -> float:
    words = request.headers.get(DEADLINE)
    if words is None:
        return ticket.arrived + most_s
    try:
        wanted_s = float(words)
    except ValueError:
        wanted_s = 0.0
    if not 0 < wanted_s < float("inf"):
        raise RequestError(DEADLINE, f"`{words[:20]}` is no number of seconds above 0")
    return ticket.arrived + min(wanted_s, most_s)


def _json_line(document: BaseModel) -> bytes:
    return document.model_dump_json(exclude_none=True).encode() + b"\n"
