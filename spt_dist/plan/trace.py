"""Writes down what a piece of code does: every operation with its flops and bytes, and the memory that is alive.

It works on real and on fake tensors alike. Flops are torch's own formulas (`torch.utils.flop_counter`), and for our
kernels those of their `cost.py`. Bytes are an operation's inputs and results, each moved once. Memory is counted by
storage: it comes with the operation that makes it and goes when nothing refers to it any more, as an allocator sees it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from spt_dist.plan.kernels import FLOPS, workspace_bytes

OTHER = "activations"  # what is alive and has no other name
UNREAD = ("copy_", "fill_", "zero_", "new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like")
# Above: operations that do not read their first argument. Below: those that move nothing.
UNMOVED = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach_", "set_")


class Op(NamedTuple):
    """One operation; `detail` says of a convolution what `_convolution` does, and is empty for others."""

    name: str
    detail: tuple[int, ...]
    dtype: str
    flops: int
    bytes: int


class Peak(NamedTuple):
    """The moment at which most bytes were alive: by category, and what an operation took for itself meanwhile."""

    live: Counter[str]
    workspace: int = 0

    @property
    def total(self) -> int:
        """Bytes of all categories and the workspace."""
        return self.live.total() + self.workspace


class Trace(TorchDispatchMode):
    """Records while it is entered; one trace may be entered again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self.saved_bytes = 0  # the most activations that autograd kept for the backward at a time, each storage once
        self._saved: dict[int, int] = {}  # storage -> bytes
        self._formulas = FlopCounterMode(display=False, custom_mapping=FLOPS).flop_registry
        self._known: dict[int, tuple[Any, int, str]] = {}  # storage -> (weak reference, bytes, category)
        self._live: Counter[str] = Counter()
        self.peak = Peak(Counter())

    def label(self, tensors: Iterable[Tensor | None], category: str) -> None:
        """Count these tensors' storages under `category` from now on."""
        for tensor in tensors:
            if tensor is not None:
                self._add(tensor, category)

    def start(self) -> None:
        """Forget operations and peak, not what is alive."""
        self.ops, self.saved_bytes, self._saved, self.peak = [], 0, {}, Peak(Counter(self._live))

    def save(self, tensor: Tensor) -> Tensor:
        """A `pack` hook for `saved_tensors_hooks`: notes what is kept, and keeps it."""
        storage = tensor.untyped_storage()
        if self._known.get(storage._cdata, (None, 0, ""))[2] == OTHER:
            self._saved[storage._cdata] = storage.nbytes()
            self.saved_bytes = max(self.saved_bytes, sum(self._saved.values()))
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run an operation and write it down."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        for tensor in results:
            self._add(tensor)
        self._note_peak(workspace_bytes(func, args))
        if func is not torch.ops.prim.device.default:  # asked of fake tensors alone
            self.ops.append(self._describe(func, args, kwargs, out, results))
        return out

    def _describe(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any, results: list[Tensor]) -> Op:
        packet = func._overloadpacket
        name = packet.__name__
        formula: Callable[..., int] | None = self._formulas.get(packet)
        flops = int(formula(*args, **kwargs, out_val=out)) if formula else 0
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        moved = 0
        if not func.is_view and name not in UNMOVED:
            written = results
            if func._schema.is_mutable:
                written = [tensor for tensor in inputs[:1] if not results] or results
            read = inputs[1:] if name in UNREAD else inputs
            moved = sum(map(_bytes, read)) + sum(map(_bytes, written))
        floats = [tensor.dtype for tensor in (*inputs, *results) if tensor.is_floating_point()]
        dtype = str(floats[0]).removeprefix("torch.") if floats else "none"
        return Op("view" if func.is_view else name, _convolution(name, args), dtype, flops, moved)

    def _add(self, tensor: Tensor, category: str | None = None) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        known = self._known.get(key)
        if known is None:
            self._known[key] = (ref(storage, lambda _: self._remove(key)), size, category or OTHER)
            self._live[category or OTHER] += size
        elif category is not None and known[2] != category:
            self._known[key] = (known[0], size, category)
            self._live[known[2]] -= known[1]
            self._live[category] += size

    def _remove(self, key: int) -> None:
        _, size, category = self._known.pop(key)
        self._live[category] -= size
        self._saved.pop(key, None)

    def _note_peak(self, workspace: int) -> None:
        if self._live.total() + workspace > self.peak.total:
            self.peak = Peak(Counter(self._live), workspace)


def _bytes(tensor: Tensor) -> int:
    """What reading or writing a tensor moves: an expanded one has fewer numbers than it shows."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _convolution(name: str, args: tuple) -> tuple[int, ...]:
    """Kernel, stride, transposed, channels that a pixel reads and gives, gradients taken (1 maps, 2 weight)."""
    wanted = 0
    if name == "convolution":
        weight, stride, transposed = args[1].shape, args[3][0], args[6]
    elif name == "convolution_backward":
        weight, stride, transposed = args[2].shape, args[4][0], args[7]
        wanted = args[10][0] + 2 * args[10][1]
    elif name in ("tile_conv", "tile_conv_backward_data"):
        weight, stride, transposed = args[1].shape, 1, False
    elif name == "tile_conv_backward_weight":
        weight, stride, transposed = (args[0].shape[1], args[1].shape[1], args[2], args[2]), 1, False
    else:
        return ()
    outputs, inputs = weight[:2] if not transposed else (weight[1], weight[0])
    return (weight[2], stride, int(transposed), inputs, outputs, wanted)
