"""An engine trains one network: forward through it, one backward, one step.

Two spellings of one interface: `PlainEngine` is torch alone, one process; `DeepSpeedEngine` divides optimizer state
(ZeRO 1), gradients (2) and parameters (3) among the ranks. A network that is not being trained is called through its
raw `module`, frozen by `frozen_except`: calling another engine, or a network that is not frozen, gives silently wrong
gradients.
"""

import os
import shutil
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from spt_dist import config
from spt_dist.train.precision import in_precision, without_precision

OPTIMIZER_FILE = "engine.pt"
DEEPSPEED_TAG, UNIVERSAL_TAG = "engine", "universal"
WHOLE_BELOW = 10_000  # parameters of fewer numbers are not divided: their collection would cost more than they take

Write = Callable[[Path, Any], None]  # what it is given may change as soon as it returns


@runtime_checkable
class Engine(Protocol):
    """What the phases need of an engine."""

    module: nn.Module

    def __call__(self, *inputs: Any) -> Any:
        """The network's forward, recorded for `backward`."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradient of `loss`, the mean over this micro-batch."""
        ...

    def step(self, learning_rate: float) -> None:
        """Update the parameters if this micro-batch completes a batch; every micro-batch calls it."""
        ...

    def whole(self) -> AbstractContextManager[nn.Module]:
        """The network to read from, every parameter complete; all ranks enter together."""
        ...

    def save(self, folder: Path, write: Write) -> None:
        """Hand parameters and optimizer state to `write`, every rank its part, under paths below `folder`."""
        ...

    def load(self, folder: Path, ranks: int) -> None:
        """Read back what `save` wrote on `ranks` ranks, exactly, on any number of them."""
        ...


class PlainEngine:
    """Adam in one process; the definition that `DeepSpeedEngine` must equal."""

    def __init__(self, module: nn.Module, train: config.Train):
        self.module, self.forward = module, in_precision(module, train.precision)
        self.clip, self.accumulate = train.clip, train.accumulate
        self.optimizer = torch.optim.Adam(module.parameters(), lr=0.0, betas=train.betas)
        self.micro_batches = 0

    def __call__(self, *inputs: Any) -> Any:
        """See `Engine`."""
        return self.forward(*inputs)

    def backward(self, loss: Tensor) -> None:
        """See `Engine`."""
        (loss / self.accumulate).backward()

    def step(self, learning_rate: float) -> None:
        """See `Engine`."""
        self.micro_batches += 1
        if self.micro_batches % self.accumulate:
            return
        if self.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        _set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def whole(self) -> AbstractContextManager[nn.Module]:
        """See `Engine`."""
        return nullcontext(self.module)

    def save(self, folder: Path, write: Write) -> None:
        """See `Engine`."""
        write(folder / OPTIMIZER_FILE, {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load(self, folder: Path, ranks: int) -> None:
        """See `Engine`."""
        state = torch.load(folder / OPTIMIZER_FILE, weights_only=True, map_location="cpu")
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])


class DeepSpeedEngine:
    """One DeepSpeed engine around one network; needs an initialised process group (`init_deepspeed`)."""

    def __init__(self, module: nn.Module, train: config.Train, micro_batch: int):
        import deepspeed

        optimizer = torch.optim.Adam(module.parameters(), lr=0.0, betas=train.betas)
        self.engine: Any
        self.engine, *_ = deepspeed.initialize(
            model=in_precision(module, train.precision),
            optimizer=optimizer,
            config={
                "train_micro_batch_size_per_gpu": micro_batch,
                "gradient_accumulation_steps": train.accumulate,
                "gradient_clipping": train.clip,
                "zero_optimization": {
                    "stage": train.zero_stage,
                    "reduce_bucket_size": sum(parameter.numel() for parameter in module.parameters()),  # not 2 GB
                    "stage3_param_persistence_threshold": WHOLE_BELOW,
                    "overlap_comm": False,  # stage 3's default reads the norm before all gradients are there
                },
                "steps_per_print": 10**9,
            },
        )
        self.module = module
        if self._divided:
            _begin_moments(self.engine.optimizer)

    @property
    def _divided(self) -> bool:
        """Whether no rank has all parameters."""
        return self.engine.zero_optimization_stage() == 3

    def __call__(self, *inputs: Any) -> Any:
        """See `Engine`."""
        return self.engine(*inputs)

    def backward(self, loss: Tensor) -> None:
        """See `Engine`."""
        self.engine.backward(loss)

    def step(self, learning_rate: float) -> None:
        """See `Engine`."""
        _set_learning_rate(self.engine.optimizer, learning_rate)
        self.engine.step()

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """See `Engine`."""
        import deepspeed

        if self._divided:
            self.engine.optimizer.empty_partition_cache()  # what a call of the raw module left collected
        with deepspeed.zero.GatheredParameters(list(self.module.parameters()), enabled=self._divided):
            yield self.module

    def save(self, folder: Path, write: Write) -> None:
        """See `Engine`."""
        usual, self.engine.checkpoint_engine = self.engine.checkpoint_engine, _files_to(write)
        self.engine._copy_recovery_script = lambda folder: None  # `spt checkpoint export` does its work
        self.engine.save_checkpoint(str(folder), tag=DEEPSPEED_TAG, save_latest=False)
        self.engine.checkpoint_engine = usual

    def load(self, folder: Path, ranks: int) -> None:
        """See `Engine`."""
        divided_anew = self.engine.zero_optimization() and ranks != dist.get_world_size()
        if divided_anew and dist.get_rank() == 0:
            make_universal(folder)
        dist.barrier()
        self.engine._config.load_universal_checkpoint = divided_anew
        path, _ = self.engine.load_checkpoint(str(folder), tag=UNIVERSAL_TAG if divided_anew else DEEPSPEED_TAG)
        self.engine._config.load_universal_checkpoint = False
        if path is None:
            raise ValueError(f"`{folder}` holds no DeepSpeed checkpoint")


def init_deepspeed(device: torch.device) -> None:
    """Let DeepSpeed join the process group that the launcher made for `device`."""
    import deepspeed

    renamed = r"`torch\.distributed\.\w+` is deprecated"  # DeepSpeed calls them so, and torch says so at every call
    warnings.filterwarnings("ignore", renamed, FutureWarning)
    deepspeed.init_distributed(dist_backend="nccl" if device.type == "cuda" else "gloo")


def read_parameters(folder: Path) -> dict[str, Tensor]:
    """The parameters that an engine of either kind saved below `folder`, whole, by name."""
    if (folder / OPTIMIZER_FILE).exists():
        return torch.load(folder / OPTIMIZER_FILE, weights_only=True, map_location="cpu")["module"]
    undivided = folder / DEEPSPEED_TAG / "mp_rank_00_model_states.pt"  # up to ZeRO 2
    if undivided.exists():
        found = torch.load(undivided, weights_only=False, map_location="cpu")["module"]
    else:
        found = read_universal(folder, "fp32")
    return without_precision(found)


def read_universal(folder: Path, kind: str) -> dict[str, Tensor]:
    """What DeepSpeed engines saved below `folder`, put together from all ranks, by the parameter's name.

    `kind` is `fp32` for the parameters, `exp_avg` or `exp_avg_sq` for Adam's moments.
    """
    make_universal(folder)
    files = (folder / UNIVERSAL_TAG / "zero").glob(f"*/{kind}.pt")
    found = {file.parent.name: torch.load(file, weights_only=True) for file in files}
    shapes: dict[str, torch.Size] = {}
    for states in (folder / DEEPSPEED_TAG).glob("zero_pp_rank_0_*_model_states.pt"):  # ZeRO 3's, which come flat
        for group in torch.load(states, weights_only=False, map_location="cpu")["param_shapes"]:
            shapes |= group
    return {name: each.view(shapes[name]) if shapes else each["param"] for name, each in found.items()}


def _begin_moments(optimizer: Any) -> None:
    """Give ZeRO 3's Adam the moments that it would begin with: what has none cannot be made universal."""
    for part in optimizer.fp32_partitioned_groups_flat:
        zeros = {name: torch.zeros_like(part, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.optimizer.state[part] = {"step": torch.tensor(0.0), **zeros}


def _files_to(write: Write) -> Any:
    """What DeepSpeed writes its files through, handing them on."""
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

    class HandedOn(TorchCheckpointEngine):
        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            pass

        def save(self, state_dict: dict, path: str) -> None:
            write(Path(path), state_dict)

    return HandedOn()


def make_universal(folder: Path) -> None:
    """Beside the partitions of as many ranks as wrote them, the same by parameter, once."""
    from deepspeed.checkpoint import ds_to_universal

    universal, writing = folder / UNIVERSAL_TAG, folder / f".writing-{UNIVERSAL_TAG}"
    if universal.exists():
        return
    shutil.rmtree(writing, ignore_errors=True)
    arguments = Namespace(
        input_folder=str(folder / DEEPSPEED_TAG),
        output_folder=str(writing),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        ds_to_universal.main(arguments)
    writing.rename(universal)


def _set_learning_rate(optimizer: Any, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


@contextmanager
def frozen_except(name: str, engines: Mapping[str, Engine]) -> Iterator[Engine]:
    """Yield engine `name` in training mode while every other network is frozen, also when an exception passes."""
    try:
        for other, engine in engines.items():
            engine.module.requires_grad_(other == name)
            engine.module.train(other == name)
        yield engines[name]
    finally:
        for engine in engines.values():
            engine.module.requires_grad_(True)
