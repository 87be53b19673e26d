"""Raw photos: what a request leaves out of a person is found in its photo, and put where it would have been sent.

So everything that follows reads one form of request, and checks what was found as it checks what was sent. Whoever
draws also annotates, one thing after the other: both want all of a replica's cores. Each photo that is annotated counts
as a picture for the caller's key.
"""

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from fastapi.concurrency import run_in_threadpool

from spt_dist import config
from spt_dist.box import OFF
from spt_dist.provenance import encode
from spt_dist.serve.operations import Operation, Parts, content
from spt_dist.serve.orders import Found, Look, RequestError, Studio
from spt_dist.serve.request import read_image
from spt_dist.serve.ticket import Ticket


class Gap(NamedTuple):
    """What a request leaves out: fields of a person, or the wanted pose, to be found in a photo."""

    photo: str
    joints: str
    parsing: str = ""  # none is wanted of a pose


def find_gaps(operation: Operation, parts: Parts) -> list[Gap]:
    """What is to be annotated; `RequestError` where a pose is missing, or there twice."""
    gaps = []
    for prefix in ("", "giver_"):
        person = Gap(f"{prefix}image", f"{prefix or 'source_'}joints", f"{prefix}parsing")
        if person.parsing in operation.fields and not (person.joints in parts and person.parsing in parts):
            gaps.append(person)
    if "target_image" in operation.fields:
        if ("target_joints" in parts) == ("target_image" in parts):
            raise RequestError("target_joints", "or `target_image`: send one of the two")
        if "target_image" in parts:
            gaps.append(Gap("target_image", "target_joints"))
    return gaps


class Annotating:
    """Annotates photos for one request: within its deadline, on its key's account."""

    def __init__(
        self, studio: Studio, limits: config.Serve, ticket: Ticket, deadline: float, charge: Callable[[int], None]
    ) -> None:
        self.studio, self.limits, self.ticket = studio, limits, ticket
        self.deadline, self.charge = deadline, charge

    async def complete(self, operation: Operation, parts: Parts) -> Parts:
        """The request's parts and what they leave out; `RequestError` names the photo in which nobody is found."""
        complete = dict(parts)
        for gap in find_gaps(operation, parts):
            if self.limits.annotator == OFF:
                missing = next(field for field in (gap.parsing, gap.joints) if field and field not in parts)
                raise RequestError(missing, "is missing, and this endpoint annotates no photos: send it")
            found = await self.look(gap.photo, parts)
            height, width = found.labels.shape
            if gap.parsing:
                labels = await run_in_threadpool(encode, found.labels, "png")
                complete = {gap.parsing: labels, gap.joints: json.dumps(found.joints.tolist())} | complete
            else:
                complete[gap.joints] = json.dumps({"joints": found.joints.tolist(), "size": [height, width]})
        complete.pop("target_image", None)
        return complete

    async def look(self, field: str, parts: Parts) -> Found:
        """What the photo in a field shows."""
        self.charge(1)
        with self.ticket.stage("read"):
            given = content(parts, field)
            photo = await run_in_threadpool(read_image, given, max_pixels=self.limits.max_pixels, field=field)
        asked = time.time()
        found = await self.studio.annotate(Look(field, photo, self.deadline, self.ticket.request_id))
        self.ticket.took(found.stages, asked)
        return found
