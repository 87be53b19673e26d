"""The devices that a plan can be made for, as a table.

Peaks are the vendor's published dense ones (data sheets of the SXM parts, L40S and L4: PCIe), links those of the
vendor's own systems (DGX; eight cards a host for the PCIe parts). What a training step reaches of them is assumed, and
**unmeasured on a GPU**: `FLOPS_SHARE` and `BYTES_SHARE` are typical of convolutions in cuDNN and of streaming kernels
(3.0 of an H100's 3.35 TB/s), `HOST_S` of eager PyTorch. The row `cpu` has no numbers here: `calibrate` measures them.
"""

from dataclasses import dataclass

from spt_dist.config import ConfigError
from spt_dist.plan.trace import Op

CPU = "cpu"
FLOPS_SHARE = 0.40  # of a peak, in convolutions and products; assumed
BYTES_SHARE = 0.90  # of the memory's bandwidth; assumed
HOST_S = 8e-6  # of a processor to launch an operation, with autograd and Python around it; assumed
CONTEXT_BYTES = 1_500_000_000  # driver, cuDNN and NCCL, before the first tensor; assumed
SPARE = 0.08  # of the memory, lost between the allocator's blocks and to cuDNN's workspaces; assumed
PRODUCTS = ("convolution", "convolution_backward")  # what cuDNN computes in TF32 by torch's default
MATRIX_PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")


@dataclass(frozen=True)
class Link:
    """A way between devices: seconds before the first byte of a hop arrives, bytes a second of one device one way."""

    name: str
    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Gpu:
    """One row: bytes, flop/s by precision, bytes/s, and how many sit in a node behind which links."""

    name: str
    memory_bytes: float
    bf16: float
    tf32: float
    fp32: float
    bytes_per_s: float
    per_node: int
    inside: Link
    between: Link
    host_s: float = HOST_S
    reads_ahead: bool = True  # processors decode the next batch meanwhile

    @property
    def usable_bytes(self) -> float:
        """Bytes for tensors."""
        return self.memory_bytes * (1 - SPARE) - CONTEXT_BYTES

    def seconds(self, op: Op) -> float:
        """Time of an operation on the device: the slower of its arithmetic and its memory traffic."""
        return max(op.flops / (FLOPS_SHARE * self._peak(op)), op.bytes / (BYTES_SHARE * self.bytes_per_s))

    def _peak(self, op: Op) -> float:
        if op.name not in (*PRODUCTS, *MATRIX_PRODUCTS):
            return self.fp32
        if op.dtype in ("bfloat16", "float16"):
            return self.bf16
        return self.tf32 if op.name in PRODUCTS else self.fp32


# Latencies a hop are NCCL's order of magnitude, assumed; bytes a second of the links are the vendor's, one way.
NVLINK4 = Link("NVLink 4", 4e-6, 450e9)
NVLINK3 = Link("NVLink 3", 4e-6, 300e9)
PCIE4 = Link("PCIe 4 x16", 6e-6, 32e9)
NDR = Link("InfiniBand NDR", 15e-6, 50e9)  # 400 Gb/s for each GPU
HDR = Link("InfiniBand HDR", 15e-6, 25e9)  # 200 Gb/s for each GPU
SHARED_NDR = Link("InfiniBand NDR, one for eight", 15e-6, 6.25e9)
GLOO = Link("gloo over loopback", 50e-6, 1e9)  # assumed: unmeasured
ETHERNET = Link("gloo over 10 Gb/s Ethernet", 100e-6, 1.25e9)  # assumed: unmeasured

GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("h100", 80e9, 989.4e12, 494.7e12, 66.9e12, 3.35e12, 8, NVLINK4, NDR),
        Gpu("h200", 141e9, 989.4e12, 494.7e12, 66.9e12, 4.8e12, 8, NVLINK4, NDR),
        Gpu("a100-80", 80e9, 312e12, 156e12, 19.5e12, 2.039e12, 8, NVLINK3, HDR),
        Gpu("a100-40", 40e9, 312e12, 156e12, 19.5e12, 1.555e12, 8, NVLINK3, HDR),
        Gpu("l40s", 48e9, 362.05e12, 183e12, 91.6e12, 0.864e12, 8, PCIE4, SHARED_NDR),
        Gpu("l4", 24e9, 121e12, 60e12, 30.3e12, 0.300e12, 8, PCIE4, SHARED_NDR),
    )
}


def gpu_named(name: str) -> Gpu:
    """A row of the table.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return GPUS[name]
    except KeyError:
        raise ConfigError(f"`--gpu {name}` is not in the table; choose {', '.join(GPUS)} or {CPU}") from None
