"""One benchmark as a row: checked against the definition first, then timed."""

import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from spt_kernels.bench.cases import TARGETS, TOLERANCE, Case, make
from spt_kernels.bench.shapes import FASHION, SHAPES
from spt_kernels.bench.timing import Times, interleaved, peak_extra_bytes, run, stopwatch
from spt_kernels.cost import Cost

# Of a gradient's elements: where two parts agree to the last bit, a rounding decides which one wins the maximum.
STRAYS = 1e-6


@dataclass
class Row:
    """Times in `unit` with their 20 % and 80 % quantiles; `bytes` and `flops` are the floor's, not what was moved.

    `base` is another revision's time. What was not measured is None.
    """

    name: str
    shape: str
    device: str
    dtype: str
    ours: float
    published: float | None
    eager: float | None
    ratio: float | None
    target: float | None
    bytes: int
    flops: int
    peak_extra_bytes: int
    quantiles: dict[str, tuple[float, float]]
    versions: dict[str, str]
    commit: str
    compiled: float | None = None
    base: float | None = None
    unit: str = "ms"
    passes: str = ""

    def as_dict(self) -> dict:
        """The row as JSON spells it, with `pass`, which Python keeps for itself."""
        fields = asdict(self)
        return {"name": fields.pop("name"), "pass": fields.pop("passes"), **fields}


class RedError(Exception):
    """A spelling does not equal the definition, so it is not timed."""


def measure(
    op: str,
    shape_name: str,
    people: Path,
    device: str,
    dtype: torch.dtype,
    rounds: int,
    base: Callable[[Case, str], Callable[[], float]] | None,
    tick: Callable[[], object],
) -> list[Row]:
    """A row per pass of one op at one shape.

    Raises:
        RedError: ours or the published spelling differs from the definition.
    """
    shape = SHAPES[op][shape_name]
    case = make(op, shape, people, device, dtype)
    if "published" in case.spellings and op == "pose_maps" and not _importable("skimage"):
        case.spellings.pop("published")
    check(op, case, dtype)
    target = TARGETS.get(op) if device == "cpu" and shape.image_size == FASHION else None
    rows = []
    for passes, cost in case.costs.items():
        calls = _calls(case, case.leaves if "backward" in passes else (), device)
        timed = {name: stopwatch(call, device) for name, call in calls.items()}
        if base is not None:
            timed["base"] = base(case, passes)
        times = interleaved(timed, rounds, tick)
        peak = peak_extra_bytes(calls["ours"], device)
        named = f"{shape_name} ({shape}), {people.stem}"
        rows.append(_row(op, passes, named, device, dtype, times, cost, peak, target))
    return rows


def _calls(case: Case, leaves: tuple[Tensor, ...], device: str) -> dict[str, Callable[[], object]]:
    """Each spelling with its gradients; on a GPU also what torch's compiler makes of the definition."""
    spellings = dict(case.spellings)
    if device == "cuda":
        spellings["compiled"] = torch.compile(spellings["eager"])
    return {name: partial(run, spelling, leaves) for name, spelling in spellings.items()}


def check(op: str, case: Case, dtype: torch.dtype) -> None:
    """Raise `RedError` unless every spelling's results and gradients equal the definition's."""
    truths = run(case.spellings["eager"], case.leaves)
    for name, spelling in case.spellings.items():
        if name == "eager":
            continue
        for number, (result, truth) in enumerate(zip(run(spelling, case.leaves), truths, strict=True)):
            bound, is_gradient = TOLERANCE[dtype], bool(number and case.leaves)
            off = _difference(result, truth, STRAYS if is_gradient else 0.0)
            if not off <= bound:
                what = f"gradient {number}" if is_gradient else f"result {number}"
                raise RedError(
                    f"{op} is red: {what} of {name} is {off:.1e} of its largest value off the definition, more than "
                    f"{bound:.1e}; run `pytest tests/kernels` and mend it"
                )


def _difference(result: Tensor, truth: Tensor, strays: float) -> float:
    """The largest difference in units of the largest value, but for a share of `strays`; NaN where one is."""
    apart = (result.double() - truth.double()).abs().flatten()
    largest = apart.topk(1 + int(strays * apart.numel())).values[-1] if not apart.isnan().any() else torch.nan
    return float(largest / truth.double().abs().max().clamp(min=1e-30))


def _row(
    op: str,
    passes: str,
    shape: str,
    device: str,
    dtype: torch.dtype,
    times: dict[str, Times],
    cost: Cost,
    peak: int,
    target: float | None,
) -> Row:
    medians = {name: 1e3 * time.median for name, time in times.items()}
    published = medians.get("published")
    return Row(
        name=op,
        passes=passes,
        shape=shape,
        device=f"{torch.cuda.get_device_name()}" if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        dtype=str(dtype).removeprefix("torch."),
        ours=medians["ours"],
        published=published,
        eager=medians["eager"],
        ratio=None if published is None else published / medians["ours"],
        target=target,
        bytes=cost.bytes,
        flops=cost.flops,
        peak_extra_bytes=peak,
        quantiles={name: (1e3 * time.p20, 1e3 * time.p80) for name, time in times.items()},
        versions={"python": platform.python_version(), "torch": torch.__version__, "triton": _version("triton")},
        commit=commit(),
        compiled=medians.get("compiled"),
        base=medians.get("base"),
    )


def commit() -> str:
    """The revision that is checked out, with a plus where files differ from it; empty outside of a repository."""
    here = Path(__file__).parent
    try:
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain", "."], cwd=here.parent, capture_output=True, text=True)
    except OSError:
        return ""
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "none"


def _importable(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None
