"""The two deployments of the endpoint on Ray Serve: `Front` answers HTTP, `Painter`s draw; `app` binds and runs them.

A job names its weights: it says which folder, at which digest, is to draw it. So a `Painter` knows no models until
a job or a preload names one, several models share the replicas, and new weights need no new replica.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from spt_dist import config
from spt_dist.serve.api import build_api
from spt_dist.serve.following import weights_digest, weights_stamp
from spt_dist.serve.gathering import Gatherer
from spt_dist.serve.logs import open_log
from spt_dist.serve.orders import BusyError, DeadlineError, Drawn, Found, Job, Look, Model, Replicas, RequestError
from spt_dist.serve.ticket import Door

if TYPE_CHECKING:
    from spt_dist.serve.painting import LoadedModel, Outcome

APPLICATION = "spt"
LOOK_S = 0.25  # what is known of the replicas is as old at the most
logger = logging.getLogger(__name__)


class Painter:
    """Draws: holds the networks of some models, and gathers the jobs that wait into batches, each of one model."""

    def __init__(self, limits: config.Serve):
        import torch
        from spt_kernels import keep_memory

        from spt_dist.encodings import Encodings

        keep_memory()
        self.encodings = Encodings(limits.cache_bytes) if limits.cache_bytes else None
        torch.set_num_threads(max(1, round(limits.cpus_per_replica)))
        device = "cuda" if limits.gpus_per_replica else "cpu"

        async def load(key: str) -> "LoadedModel":
            from spt_dist.serve.painting import LoadedModel

            return await asyncio.to_thread(LoadedModel.load, Path(key.partition(":")[2]), device, limits)

        keep = serve.multiplexed(max_num_models_per_replica=limits.models_per_replica)
        self.load: Callable[[str], Awaitable[LoadedModel]] = cast(Any, keep)(load)
        # One batch at a time: two would only take each other's cores.
        self.draw_together: Gatherer[Job, Outcome] = Gatherer(
            self._draw_together, lambda job: key_of(job.model), limits.max_batch, limits.batch_wait_s
        )
        self.annotator, self.threads = limits.annotator, max(1, round(limits.cpus_per_replica))
        self.cores = asyncio.Lock()  # pictures are drawn or photos annotated, not both: they want the same cores
        self.log = limits.log
        self.since = time.time()

    async def reconfigure(self, user_config: Mapping[str, list[str]]) -> None:
        """Load models before the first job asks for them, the default last: it is the last to be unloaded.

        The keys are those of the start; weights that have changed since are loaded when a job names them.
        """
        open_log(self.log)
        for key in user_config["preload"][::-1]:
            digest, _, folder = key.partition(":")
            if digest == await asyncio.to_thread(weights_digest, Path(folder)):
                await self.load(key)
        self.since = time.time()

    async def warm(self, key: str) -> None:
        """Load a model that jobs will ask for; `ValueError` when other weights lie there by now."""
        loaded = await self.load(key)
        if loaded.digest != key.partition(":")[0]:
            raise ValueError(f"the weights changed to {loaded.digest} while they were read")

    async def draw(self, job: Job) -> Drawn:
        """The picture for one job, drawn together with whatever other jobs wait."""
        outcome = await self.draw_together(job)
        if isinstance(outcome, Drawn):
            return outcome
        raise outcome

    async def _draw_together(self, jobs: list[Job]) -> "list[Outcome]":
        from spt_dist.serve.painting import draw_jobs

        # All of one model. In a thread: meanwhile the replica takes in the jobs of the next batch.
        loaded = await self.load(key_of(jobs[0].model))
        async with self.cores:
            return await asyncio.to_thread(draw_jobs, loaded, jobs, self.since, self.encodings)

    async def annotate(self, look: Look) -> Found:
        """The person in a raw photo; the first one opens the annotator."""
        from spt_dist.serve.painting import annotate

        async with self.cores:
            return await asyncio.to_thread(annotate, self.annotator, self.threads, look)


class Front:
    """Answers HTTP: hands checked jobs to the `Painter`s, and follows the weights of what it serves."""

    def __init__(self, painter: DeploymentHandle, models: Sequence[Model], limits: config.Serve):
        self.painter, self.limits, self.door = painter, limits, Door()
        self.models: Mapping[str, Model] = {model.id: model for model in models}
        self.gallery = models[0].folder.parent
        self.following: asyncio.Task[None] | None = None
        self.look: asyncio.Task[Replicas] | None = None
        self.looked = 0.0

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The interface, built on the replica."""
        return build_api(self, self.gallery, self.limits, door=self.door, proxied=True)

    async def reconfigure(self, user_config: Mapping[str, bool]) -> None:
        """Begin to write the log and to look for new weights."""
        open_log(self.limits.log)
        if user_config["follow"] and self.following is None:
            self.following = asyncio.create_task(self._follow())

    async def drain(self, patience_s: float) -> int:
        """Refuse new requests and wait for those under way; returns how many are left."""
        return await self.door.close(patience_s)

    async def replicas(self) -> Replicas:
        """How many `Painter`s run and start: many may ask at once, the controller is asked for all of them."""
        if self.look is None or (self.look.done() and time.monotonic() > self.looked + LOOK_S):
            self.looked = time.monotonic()
            self.look = asyncio.create_task(asyncio.to_thread(_count_replicas))
        return await asyncio.shield(self.look)

    async def draw(self, job: Job) -> Drawn:
        """The picture from whichever `Painter` is free.

        When a replica dies over a job, another draws it, once, within the same deadline: a job that kills its replica
        must not kill all.

        Raises:
            BusyError: too many jobs wait already, nobody was awake in time, or two replicas died over it.
            DeadlineError: it was not drawn in time.
            RequestError: it cannot be drawn; the message says why.
        """
        model = self.painter.options(multiplexed_model_id=key_of(job.model))
        return await self._ask_twice(lambda: model.draw.remote(job), job, "the picture was not drawn")

    async def annotate(self, look: Look) -> Found:
        """What a raw photo shows, from whichever `Painter` is free; raises as `draw` does."""
        return await self._ask_twice(lambda: self.painter.annotate.remote(look), look, "the photo was not annotated")

    async def _ask_twice(self, send: Callable[[], Any], order: Job | Look, late: str) -> Any:
        start = time.perf_counter()
        try:
            try:
                found = await self._ask(send(), order, late)
            except RayActorError as error:
                logger.warning(
                    "a Painter was lost (%s); request %s goes to another", type(error).__name__, order.request_id
                )
                found = await self._ask(send(), order, late)
        except BackPressureError:
            raise BusyError from None
        except RayActorError as error:
            logger.error("request %s lost two Painters (%s)", order.request_id, error)
            raise BusyError("a replica was lost twice over it", 5) from None
        waited = time.perf_counter() - start - sum(found.stages.values())
        return found._replace(stages={"queue": max(0.0, waited), **found.stages})

    async def _ask(self, answer: Any, order: Job | Look, late: str) -> Any:
        try:
            return await asyncio.wait_for(answer, max(0.0, order.left_s))
        except TimeoutError:
            answer.cancel()
            with suppress(TimeoutError):
                if not (await asyncio.wait_for(self.replicas(), LOOK_S)).running:
                    raise BusyError("no replica was awake, one is starting", 5) from None
            raise DeadlineError(f"{late} within the deadline") from None
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RequestError | DeadlineError):
                raise cause from None
            raise

    async def _follow(self) -> None:
        """Serve new weights when their files have rested for a round: all `Painter`s load them, then jobs name them.

        Nothing is taken away from requests under way.
        """
        served = {model.id: weights_stamp(model.folder) for model in self.models.values()}
        seen = dict(served)
        while True:
            await asyncio.sleep(self.limits.follow_s)
            for model in self.models.values():
                try:
                    before, seen[model.id] = seen[model.id], weights_stamp(model.folder)
                    if seen[model.id] == served[model.id] or seen[model.id] != before:
                        continue
                    await self._take_up(model)
                    served[model.id] = before
                except Exception as error:  # noqa: BLE001 - half a folder, say: the old ones go on
                    logger.warning("%s stays at %s: %s", model.id, model.digest, error)

    async def _take_up(self, model: Model) -> None:
        new = model._replace(digest=await asyncio.to_thread(weights_digest, model.folder))
        with suppress(DeploymentUnavailableError):  # all asleep: whoever wakes loads what it is asked for
            await self.painter.broadcast("warm", key_of(new)).results_async()
        self.models = {**self.models, new.id: new}
        logger.warning("%s is served with new weights, %s", new.id, new.digest)


def _count_replicas() -> Replicas:
    application = serve.status().applications.get(APPLICATION)
    found = application.deployments.get(Painter.__name__) if application else None
    count = Counter(cast(dict[str, int], found.replica_states) if found else {})
    return Replicas(count["RUNNING"], count["STARTING"] + count["UPDATING"] + count["PENDING_MIGRATION"])


def key_of(model: Model) -> str:
    """By which replicas know the model: other weights, another key."""
    return f"{model.digest}:{model.folder}"
