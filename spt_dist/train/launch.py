"""Start training: `ray` on the workers of a Ray cluster, each rank in DeepSpeed engines; `local` in this process.

Ray Train places the workers, makes their process group and, when one dies, starts the group again, on as many workers
as there is room for, from `train.min_workers` on; they resume from the newest checkpoint in the run's folder. That
folder must be visible to every node. What happened is in the run's `events.jsonl`.
"""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from spt_kernels import keep_memory

from spt_dist import config, local_ray
from spt_dist.data.pipeline import micro_batch
from spt_dist.run_log import read_events, tell_event
from spt_dist.train.engine import DeepSpeedEngine, PlainEngine, init_deepspeed
from spt_dist.train.log import NonFiniteLossError
from spt_dist.train.loop import Trainer
from spt_dist.train.prepare import STOPPED, prepare_run
from spt_dist.train.progress import show_progress
from spt_dist.train.ranks import Ranks
from spt_dist.train.stop import ASKED, asking_on_signal

LOOK_FOR_ROOM_S = 10.0  # how often a run on fewer workers looks for room for more
WAIT_FOR_ROOM_S = 25.0  # how long it waits for room that a lost node still seems to offer; Ray's own 60 s is long
HELP = (
    "what was saved is whole: add --resume to go on; "
    "SPT_TRACEBACK=1 shows where it stopped, SPT_WORKER_LOGS=1 what the workers print"
)


def train(
    settings: config.Config,
    run: Path,
    *,
    launcher: str = "ray",
    resume: bool = False,
    force: bool = False,
    profile: bool = False,
) -> bool:
    """Train a run to the end of its curriculum, with progress on the screen; False when asked to stop before (SIGTERM).

    Raises:
        ConfigError: the run folder is taken, or the configuration cannot run here.
        RuntimeError: training stopped; the message says why, and how to go on.
    """
    on_ray = launcher == "ray"
    if not on_ray and (settings.train.workers > 1 or settings.train.zero_stage):
        warnings.warn(
            "--launcher local is one process of plain torch: train.workers and zero_stage are ignored", stacklevel=2
        )
    ranks, engine = (settings.train.workers, DeepSpeedEngine) if on_ray else (1, PlainEngine)
    prepare_run(settings, run, resume=resume, force=force, ranks=ranks, engine=engine.__name__)
    with show_progress(run, settings.stages):
        if on_ray:
            _train_on_ray(settings, run.resolve(), profile)
        else:
            train_locally(settings, run, profile)
    if (run / ASKED).exists():
        tell_event(run, "stopped when asked to; --resume goes on")
        return False
    return True


def train_locally(settings: config.Config, run: Path, profile: bool = False) -> None:
    """The same loop in this process, plain torch: for debugging."""
    if settings.train.use_gpu and not torch.cuda.is_available():
        raise config.ConfigError("`train.use_gpu` is true but torch sees no GPU here: --set train.use_gpu=false")
    device = torch.device("cuda" if settings.train.use_gpu else "cpu")
    trainer = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks(0, 1, device), profile)
    trainer.resume()
    with asking_on_signal(run):
        trainer.train()


def _train_on_ray(settings: config.Config, run: Path, profile: bool) -> None:
    address = local_ray.prepare()
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    ray.init(
        address=address,
        runtime_env={"env_vars": _worker_environment(settings)},
        log_to_driver=bool(os.environ.get("SPT_WORKER_LOGS")),
        logging_level=logging.ERROR,
        ignore_reinit_error=True,
    )
    try:
        if address == "local":
            _require_resources(settings.train, ray.cluster_resources())
        resources = {"CPU": 1, "GPU": 1} if settings.train.use_gpu else {"CPU": 1}
        plan = {"config": config.to_tree(settings), "run": str(run), "folder": os.getcwd(), "profile": profile}
        workers, least = settings.train.workers, settings.train.min_workers
        if least:
            os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", f"{WAIT_FOR_ROOM_S:g}")
        trainer = TorchTrainer(
            _ray_worker,
            train_loop_config=plan,
            scaling_config=ScalingConfig(
                num_workers=(least, workers) if least else workers,
                use_gpu=settings.train.use_gpu,
                resources_per_worker=resources,
                elastic_resize_monitor_interval_s=LOOK_FOR_ROOM_S,
            ),
            run_config=RunConfig(
                name="ray",
                storage_path=str(run),
                failure_config=FailureConfig(max_failures=settings.train.max_failures),
                callbacks=[_failures_to(run)],
            ),
        )
        with asking_on_signal(run):
            trainer.fit()
    except TrainingFailedError as error:
        if os.environ.get("SPT_TRACEBACK"):
            raise
        raise RuntimeError(f"training stopped: {last_line(error)}\n{HELP}") from None
    finally:
        ray.shutdown()
    if (run / STOPPED).exists():
        raise RuntimeError(f"training stopped: {(run / STOPPED).read_text()}\n{HELP}")


def _failures_to(run: Path) -> Any:
    """What Ray Train's controller calls when workers fail: it tells the run's events."""
    from ray.train import UserCallback

    class Failures(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
            for rank, error in sorted(worker_exceptions.items()):
                tell_event(run, f"rank {rank} failed: {last_line(error)}", rank=rank)

    return Failures()


def last_line(error: Exception) -> str:
    """The end of an error's words, where the errors of other processes have what matters."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _require_resources(train: config.Train, found: Mapping[str, float]) -> None:
    """Refuse what this machine's Ray could only wait for."""
    workers = train.min_workers or train.workers
    for resource, wanted in (("CPU", workers), ("GPU", workers * train.use_gpu)):
        if found.get(resource, 0) < wanted:
            raise config.ConfigError(
                f"`train.workers` = {workers} need {wanted} {resource}s, this machine has "
                f"{found.get(resource, 0):g}; lower `train.workers`{', set train.use_gpu=false' * train.use_gpu}, "
                "or name a cluster in $RAY_ADDRESS"
            )


def _ray_worker(plan: dict[str, Any]) -> None:
    """One rank, inside the process group that Ray Train made, in the folder where the command was given.

    Ray starts the group again whatever the reason. Where the reason would come again (bad values, or not finite at the
    same place for the second time), the worker leaves it in a file, and the next start, finding it, ends.
    """
    import ray.train
    import ray.train.torch

    run = Path(plan["run"])
    if (run / STOPPED).exists():
        return
    context = ray.train.get_context()
    settings = config.from_tree(plan["config"])
    os.chdir(plan["folder"])
    keep_memory()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    init_deepspeed(ranks.device)
    share = micro_batch(settings.data, ranks.size, settings.train.accumulate)
    try:
        make_engine = partial(DeepSpeedEngine, train=settings.train, micro_batch=share)
        trainer = Trainer(settings, run, make_engine, ranks, plan["profile"])
        trainer.resume()
        trainer.train()
    except NonFiniteLossError as error:
        if ranks.leads:
            seen = any(event["what"] == str(error) for event in read_events(run))
            (run / STOPPED).write_text(str(error)) if seen else tell_event(run, str(error), rank=ranks.rank)
        raise
    except (ValueError, ArithmeticError) as error:
        (run / STOPPED).write_text(str(error))
        raise


def _worker_environment(settings: config.Config) -> dict[str, str]:
    """What a worker needs to find: ninja on the path; on CPUs also its accelerator and its threads."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if settings.train.use_gpu:
        return {"PATH": path}
    return {"PATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
