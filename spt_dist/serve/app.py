"""The endpoint on Ray Serve: one deployment answers HTTP, another draws, in batches, on as many replicas as are needed.

    browser -> proxy -> Front (FastAPI, checks, page; no torch) -> queue -> Painter x min..max (networks, batches)

The two are apart so that a full queue and a loading network leave the page and the checks quick: bad requests never
reach the networks, and `Front` can answer 503 when the `Painter`s' queue is full.

`replicas` has the two deployments, this module starts and stops them. Three relations decide whether anything batches
or scales at all, and Serve checks none of them; `check` does. One port per replica is open on every interface, since
Serve does not ask: a firewall belongs in front of a shared machine.
"""

import json
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from spt_dist import local_ray

RAY_ADDRESS = local_ray.prepare()

import ray
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from spt_dist import box, config
from spt_dist.provenance import Sealer
from spt_dist.serve.following import weights_digest
from spt_dist.serve.keys import KeyFile
from spt_dist.serve.orders import Model
from spt_dist.serve.replicas import APPLICATION, Front, Painter, key_of

LOAD_INTERVAL_S, LOAD_WINDOW_S = 1.0, 5.0  # how often load is told, and over what its mean decides
FRONT_HEADROOM = 64  # page, documents and checks beside the requests that wait for a picture

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEAD = "node:__internal_head__"  # Ray's name: `Front` is there, where the cluster ends anyhow, so others may be lost

_QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)
_is_own = False  # whether `run` started this process's Ray


class Arguments(BaseModel):
    """What `deploy/serve.yaml` gives: run folders by id, as every node sees them, and keys of `config.Serve`."""

    model_config = ConfigDict(extra="forbid")
    runs: dict[str, Path] = Field(min_length=1)
    serve: config.Serve = config.Serve()


def application(arguments: Arguments) -> serve.Application:
    """The application that a Serve config file names.

    Raises:
        ValueError: a run holds no weights, or the limits contradict each other (`check`).
    """
    return _bind(find_models(arguments.runs, arguments.serve), arguments.serve)


def run(runs: Mapping[str, Path], config: config.Serve, *, blocking: bool) -> str:
    """Serve run folders by id, the first by default, and return the page's address, such as `http://127.0.0.1:8000`.

    Joins the cluster that $RAY_ADDRESS names, else starts a Ray of its own on this machine. With `blocking` it prints
    the addresses and returns only after an interrupt (Ctrl-C or SIGTERM), everything stopped; else call `shutdown`.

    Raises:
        ValueError: a run holds no weights, the limits contradict each other, or there are too few CPUs or GPUs.
        OSError: the port is taken.
    """
    models = find_models(runs, config)
    check(config)
    port = _free_port(config.host, config.port)
    address = f"http://{'127.0.0.1' if config.host == '0.0.0.0' else config.host}:{port}"
    try:
        _start_ray(config)
        options = {"host": config.host, "port": port}
        serve.start("HeadOnly", options, logging_config=_QUIET)
        serve.run(_bind(models, config), name=APPLICATION, route_prefix="/", logging_config=_QUIET)
    except BaseException:
        shutdown()
        raise
    if blocking:
        print(f"page      {address}/\ndocument  {address}/docs\nlog       {_log_place(config)}", flush=True)
        if not config.keys and config.host not in LOOPBACK:
            print(f"no keys   whoever reaches {config.host} may ask; `spt keys` makes keys", flush=True)
        print("stop with Ctrl-C", flush=True)
        _wait_for_signal()
        print("stopping: no new requests, those under way are finished", flush=True)
        try:
            drain(config.deadline_s)
        finally:
            shutdown()
    return address


def drain(patience_s: float) -> int:
    """Refuse new requests with 503 and wait for those under way; returns how many are left after `patience_s`."""
    return serve.get_app_handle(APPLICATION).drain.remote(patience_s).result()


def shutdown() -> None:
    """Stop serving: a Ray that `run` started goes as a whole, out of a cluster that it joined only the application."""
    if not ray.is_initialized():
        return
    if _is_own:
        ray.shutdown()
    else:
        serve.delete(APPLICATION)


def check(limits: config.Serve) -> None:
    """Refuse limits under which requests would wait for ever or never share a batch, and files that are not there.

    Raises:
        ValueError: it says which.
    """
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
    if limits.keys:
        KeyFile.read(Path(limits.keys))
    if limits.annotator not in (box.NAME, box.OFF):
        from spt_dist.annotate.choice import open_annotator  # torch and ONNX Runtime, where they are asked for

        try:
            open_annotator(limits.annotator)
        except ValueError as error:
            raise ValueError(f"`serve.annotator`: {error}") from None
    Sealer(limits.provenance, limits.identity)
    if limits.log and not Path(limits.log).absolute().parent.is_dir():
        raise ValueError(f"`serve.log` = {limits.log} lies in no folder that is there; make it first")
    if limits.target_ongoing_requests <= 0:
        raise ValueError("`serve.target_ongoing_requests` = 0 asks for endless replicas; set it above 0")


def check_resources(limits: config.Serve, there: Mapping[str, float]) -> None:
    """Refuse limits whose first replicas would wait for ever for CPUs or GPUs; `there` is Ray's count by name."""
    for name, each in (("CPU", limits.cpus_per_replica), ("GPU", limits.gpus_per_replica)):
        needed, found = each * max(1, limits.min_replicas), there.get(name, 0)
        if needed > found:
            keys = f"`serve.{name.lower()}s_per_replica` x `serve.min_replicas`"
            raise ValueError(f"{keys} asks for {needed:g} {name}s, but there are {found:g}; lower one of the two")


def find_models(runs: Mapping[str, Path], limits: config.Serve) -> list[Model]:
    """The models of run folders; `ValueError` for one that holds no trained weights."""
    from spt_dist.models.weights import CARD, weights_folder  # torch, which the replicas of `Front` do without

    models = []
    for name, run in runs.items():
        folder = weights_folder(run, limits.weights).resolve()
        if not (folder / CARD).is_file():
            raise ValueError(
                f"`{run}` holds no trained weights (`{folder / CARD}` is missing); `spt train` writes them"
            )
        card = json.loads((folder / CARD).read_text())
        settings = config.from_tree(card["config"], source=str(folder / CARD))
        noise = settings.networks.appearance.dropout > 0
        models.append(Model(name, folder, weights_digest(folder), settings.data.image_size, noise))
    return models


def _bind(models: Sequence[Model], limits: config.Serve) -> serve.Application:
    # The classes stay plain, so that replicas import them by name; decorated ones would travel as pickled code.
    check(limits)
    painter = serve.deployment(
        max_ongoing_requests=limits.max_ongoing_requests,
        max_queued_requests=limits.max_queued_requests,
        graceful_shutdown_timeout_s=limits.deadline_s,
        user_config={"preload": [key_of(model) for model in models[: limits.models_per_replica]]},
        ray_actor_options={"num_cpus": limits.cpus_per_replica, "num_gpus": limits.gpus_per_replica},
        autoscaling_config=_autoscaling(limits),
    )(Painter)
    waiting = limits.max_queued_requests + limits.max_replicas * limits.max_ongoing_requests
    front = serve.deployment(
        max_ongoing_requests=waiting + FRONT_HEADROOM,
        graceful_shutdown_timeout_s=limits.deadline_s,
        user_config={"follow": limits.follow_s > 0},
        ray_actor_options={"num_cpus": 0, "resources": {HEAD: 0.001}},
    )(serve.ingress()(Front))
    return front.bind(painter.bind(limits), models, limits)


def _autoscaling(limits: config.Serve) -> AutoscalingConfig:
    with warnings.catch_warnings():
        # Serve's own 10 and 30 s see a burst late. It calls the interval deprecated, and knows no other way yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=limits.min_replicas,
            max_replicas=limits.max_replicas,
            target_ongoing_requests=limits.target_ongoing_requests,
            upscale_delay_s=limits.upscale_delay_s,
            downscale_delay_s=limits.downscale_delay_s,
            metrics_interval_s=LOAD_INTERVAL_S,
            look_back_period_s=LOAD_WINDOW_S,
        )


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


def _log_place(limits: config.Serve) -> str:
    ours = ray.get_runtime_context()
    return limits.log or f"{Path(ours.get_temp_dir(), ours.get_session_name(), 'logs')}/worker-*.err"


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
