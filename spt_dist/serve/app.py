"""The endpoint on Ray Serve: one deployment answers HTTP, another draws, in batches, on as many replicas as are needed.

    browser -> proxy -> Front (FastAPI, checks, page; no torch) -> queue -> Painter x min..max (networks, batches)

The two are apart so that a full queue and a loading network leave the page and the checks quick: bad requests never
reach the networks, and `Front` can answer 503 when the `Painter`s' queue is full.

Three relations decide whether anything batches or scales at all, and Serve checks none of them; `check` does.
This is the only module of the package that imports `ray` for serving. One port per replica is open on every interface,
since Serve does not ask: a firewall belongs in front of a shared machine.
"""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

from spt_dist import local_ray

RAY_ADDRESS = local_ray.prepare()

import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.config import AutoscalingConfig
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from spt_dist import config
from spt_dist.serve.api import Picture, build_api
from spt_dist.serve.request import BusyError, Order, RequestError

APPLICATION = "spt"
UPSCALE_DELAY_S = 5.0  # Serve's own 30 s is longer than most bursts
DOWNSCALE_DELAY_S = 60.0  # and its 600 s keeps a second copy of the networks for ten minutes
FRONT_HEADROOM = 64  # page, documents and checks beside the requests that wait for a picture

logger = logging.getLogger(__name__)
_QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)
_is_own = False  # whether `run` started this process's Ray


class Painter:
    """Draws: holds the networks of a run, and gathers the requests that wait into one batch."""

    def __init__(self, run: str, limits: config.Serve):
        import torch
        from spt_kernels import keep_memory

        from spt_dist.infer import Predictor
        from spt_dist.models.weights import weights_folder

        keep_memory()
        torch.set_num_threads(max(1, round(limits.cpus_per_replica)))
        self.predictor = Predictor.load(
            weights_folder(run, limits.weights), "cuda" if limits.gpus_per_replica else "cpu"
        )
        gather = serve.batch(max_batch_size=limits.max_batch, batch_wait_timeout_s=limits.batch_wait_s)
        self.draw_together = gather(self._draw_together)

    async def draw(self, order: Order) -> Picture:
        """The picture for one order, drawn together with whatever other orders wait."""
        picture = (order.image.shape[0], order.image.shape[1])
        self.predictor.frame_target(order.target_joints, order.target_size or picture)  # one bad order fails alone
        return await self.draw_together(order)

    async def _draw_together(self, orders: list[Order]) -> list[Picture]:
        # In a thread of its own: meanwhile the replica takes in the orders of the next batch.
        return await asyncio.to_thread(self._draw_batch, orders)

    def _draw_batch(self, orders: list[Order]) -> list[Picture]:
        columns = [list(column) for column in zip(*orders, strict=True)]
        return [Picture(result.image, result.labels) for result in self.predictor.generate_batch(*columns)]


class Front:
    """Answers HTTP: hands checked orders to the `Painter`s."""

    def __init__(self, painter: DeploymentHandle, run: str, limits: config.Serve):
        self.painter, self.run, self.limits = painter, Path(run), limits

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The interface, built on the replica."""
        return build_api(self.draw, self.run, self.limits)

    async def draw(self, order: Order) -> Picture:
        """The picture from whichever `Painter` is free.

        When a replica dies over an order, another draws it, once: an order that kills its replica must not kill all.

        Raises:
            BusyError: too many orders wait already.
            RequestError: the wanted pose lies outside its picture, as this run frames pictures.
        """
        try:
            try:
                return await self.painter.draw.remote(order)
            except RayActorError as error:
                logger.warning("a Painter was lost (%s); its order goes to another", type(error).__name__)
                return await self.painter.draw.remote(order)
        except BackPressureError:
            raise BusyError from None
        except ValueError as error:
            raise RequestError("target_joints", str(error.args[0]).splitlines()[-1]) from None


class Arguments(BaseModel):
    """What `deploy/serve.yaml` gives: the run's folder, as every node sees it, and keys of `config.Serve`."""

    model_config = ConfigDict(extra="forbid")
    run: Path
    serve: config.Serve = config.Serve()


def application(arguments: Arguments) -> serve.Application:
    """The application that a Serve config file names.

    Raises:
        ValueError: the run holds no weights, or the limits contradict each other (`check`).
    """
    return _bind(_trained(arguments.run, arguments.serve), arguments.serve)


def run(run: Path, config: config.Serve, *, blocking: bool) -> str:
    """Serve the run folder `run` and return the page's address, such as `http://127.0.0.1:8000`.

    Joins the cluster that $RAY_ADDRESS names, else starts a Ray of its own on this machine. With `blocking` it prints
    the addresses and returns only after an interrupt (Ctrl-C or SIGTERM), everything stopped; else call `shutdown`.

    Raises:
        ValueError: the run holds no weights, the limits contradict each other, or the machine has too few CPUs or GPUs.
        OSError: the port is taken.
    """
    run = _trained(run, config)
    check(config)
    port = _free_port(config.host, config.port)
    address = f"http://{'127.0.0.1' if config.host == '0.0.0.0' else config.host}:{port}"
    try:
        _start_ray(config)
        options = {"host": config.host, "port": port}
        serve.start(http_options=options, logging_config=_QUIET)
        serve.run(_bind(run, config), name=APPLICATION, route_prefix="/", logging_config=_QUIET)
    except BaseException:
        shutdown()
        raise
    if blocking:
        print(f"page      {address}/\ndocument  {address}/docs\nstop with Ctrl-C", flush=True)
        _wait_for_signal()
        shutdown()
    return address


def shutdown() -> None:
    """Stop serving: a Ray that `run` started goes as a whole, out of a cluster that it joined only the application."""
    if not ray.is_initialized():
        return
    if _is_own:
        ray.shutdown()
    else:
        serve.delete(APPLICATION)


def check(limits: config.Serve) -> None:
    """Refuse limits under which requests would wait for ever, or never share a batch; `ValueError` says which."""
    relations = (
        ("max_ongoing_requests", ">=", "max_batch", "a batch never fills"),
        ("max_ongoing_requests", ">=", "target_ongoing_requests", "no replica is ever added"),
        ("max_replicas", ">=", "min_replicas", "there is no number of replicas to run"),
    )
    for larger, sign, smaller, consequence in relations:
        high, low = getattr(limits, larger), getattr(limits, smaller)
        if high < low:
            must = f"`serve.{larger}` = {high} must be {sign} `serve.{smaller}` = {low}"
            raise ValueError(f"{must}, else {consequence}; raise it: --set serve.{larger}={low:g}")
    if limits.target_ongoing_requests <= 0:
        raise ValueError("`serve.target_ongoing_requests` = 0 asks for endless replicas; set it above 0")


def check_resources(limits: config.Serve, there: Mapping[str, float]) -> None:
    """Refuse limits whose first replicas would wait for ever for CPUs or GPUs; `there` is Ray's count by name."""
    for name, each in (("CPU", limits.cpus_per_replica), ("GPU", limits.gpus_per_replica)):
        needed, found = each * max(1, limits.min_replicas), there.get(name, 0)
        if needed > found:
            keys = f"`serve.{name.lower()}s_per_replica` x `serve.min_replicas`"
            raise ValueError(f"{keys} asks for {needed:g} {name}s, but there are {found:g}; lower one of the two")


def _bind(run: Path, limits: config.Serve) -> serve.Application:
    # The classes stay plain, so that replicas import them by name; decorated ones would travel as pickled code.
    check(limits)
    painter = serve.deployment(
        max_ongoing_requests=limits.max_ongoing_requests,
        max_queued_requests=limits.max_queued_requests,
        ray_actor_options={"num_cpus": limits.cpus_per_replica, "num_gpus": limits.gpus_per_replica},
        autoscaling_config=AutoscalingConfig(
            min_replicas=limits.min_replicas,
            max_replicas=limits.max_replicas,
            target_ongoing_requests=limits.target_ongoing_requests,
            upscale_delay_s=UPSCALE_DELAY_S,
            downscale_delay_s=DOWNSCALE_DELAY_S,
        ),
    )(Painter)
    waiting = limits.max_queued_requests + limits.max_replicas * limits.max_ongoing_requests
    front = serve.deployment(max_ongoing_requests=waiting + FRONT_HEADROOM, ray_actor_options={"num_cpus": 0})(
        serve.ingress()(Front)
    )
    return front.bind(painter.bind(str(run), limits), str(run), limits)


def _trained(run: Path, limits: config.Serve) -> Path:
    from spt_dist.models.weights import CARD, weights_folder  # torch, which the replicas of `Front` do without

    card = weights_folder(run, limits.weights) / CARD
    if not card.is_file():
        raise ValueError(f"`{run}` holds no trained weights (`{card}` is missing); `spt train` writes them")
    return run.resolve()


def _start_ray(limits: config.Serve) -> None:
    global _is_own
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if not ray.is_initialized():
        _is_own = RAY_ADDRESS == "local"
        dashboard = False if _is_own else None
        ray.init(RAY_ADDRESS, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    check_resources(limits, ray.cluster_resources())


def _free_port(host: str, port: int) -> int:
    """The port, after a look whether it can be bound; any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"cannot listen on {host}:{port} ({reason}); --set serve.port=0 takes a free port") from None
        return int(probe.getsockname()[1])


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
