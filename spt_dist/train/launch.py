"""Start training: `ray` on the workers of a Ray cluster, each rank in DeepSpeed engines; `local` in this process.

Ray Train places the workers, makes their process group and, when one dies, starts the group again, which then resumes
from the newest checkpoint in the run's folder. That folder must be visible to every node.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import torch

from spt_dist import config, local_ray
from spt_dist.train.engine import DeepSpeedEngine, PlainEngine, init_deepspeed
from spt_dist.train.loop import Trainer, micro_batch, prepare_run
from spt_dist.train.progress import show_progress
from spt_dist.train.ranks import Ranks

AFTER_A_FAILURE = (
    "what was saved is whole: add --resume to go on; "
    "SPT_TRACEBACK=1 shows where it stopped, SPT_WORKER_LOGS=1 what the workers print"
)


def train(settings: config.Config, run: Path, *, launcher: str = "ray", resume: bool = False) -> None:
    """Train a run to the end of its curriculum, with progress on the screen.

    Raises:
        ConfigError: the run folder is taken, or the configuration cannot run here.
    """
    prepare_run(settings, run, resume, workers=settings.train.workers if launcher == "ray" else 1)
    with show_progress(run, settings.stages):
        if launcher == "ray":
            _train_on_ray(settings, run.resolve())
        else:
            train_locally(settings, run)


def train_locally(settings: config.Config, run: Path) -> None:
    """The same loop in this process, plain torch: for debugging."""
    device = torch.device("cuda" if settings.train.use_gpu else "cpu")
    trainer = Trainer(settings, run, lambda network: PlainEngine(network, settings.train), Ranks(0, 1, device))
    trainer.resume()
    trainer.train()


def _train_on_ray(settings: config.Config, run: Path) -> None:
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
        resources = {"CPU": 1, "GPU": 1} if settings.train.use_gpu else {"CPU": 1}
        TorchTrainer(
            _ray_worker,
            train_loop_config={"config": config.to_tree(settings), "run": str(run), "folder": os.getcwd()},
            scaling_config=ScalingConfig(
                num_workers=settings.train.workers, use_gpu=settings.train.use_gpu, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name="ray",
                storage_path=str(run),
                failure_config=FailureConfig(max_failures=settings.train.max_failures),
            ),
        ).fit()
    except TrainingFailedError as error:
        if os.environ.get("SPT_TRACEBACK"):
            raise
        reason = str(error).strip().splitlines()[-1]
        hint = "SPT_TRACEBACK=1 shows where, SPT_WORKER_LOGS=1 what the workers print"
        raise RuntimeError(
            f"training stopped: {reason}\nwhat was saved is whole: add --resume to go on; {hint}"
        ) from None
    finally:
        ray.shutdown()


def _ray_worker(plan: dict[str, Any]) -> None:
    """One rank, inside the process group that Ray Train made, in the folder where the command was given."""
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    settings = config.from_tree(plan["config"])
    os.chdir(plan["folder"])
    init_deepspeed()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    share = micro_batch(settings, ranks.size)
    trainer = Trainer(
        settings, Path(plan["run"]), lambda network: DeepSpeedEngine(network, settings.train, share), ranks
    )
    trainer.resume()
    trainer.train()


def _worker_environment(settings: config.Config) -> dict[str, str]:
    """What a worker needs to find: ninja on the path; on CPUs also its accelerator, its threads, and memory kept.

    By default the allocator gives large blocks back to the system after every use, and a step pays for them in page
    faults: a warp's forward then takes twice as long.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if settings.train.use_gpu:
        return {"PATH": path}
    keep = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
    return {"PATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"} | keep
