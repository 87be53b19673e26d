"""What a kernel compiles to: registers, spills, shared memory and instructions, read from the binary."""

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import triton

from spt_kernels.proof.launches import TARGETS, Launch

SHARED_LIMIT_BYTES = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_100": 227 * 1024, "gfx942": 64 * 1024}
MATRIX_UNITS = re.compile(r"^(?:H|HG|D|I|Q|QG|UTC\w*)MMA|^v_mfma")
WIDE_LOADS = re.compile(r"^(?:LDG|LDGSTS)\S*\.128|^(?:global|buffer)_load_dwordx4")
SPILL_MOVES = re.compile(r"^(?:STL|LDL)\b|^scratch_(?:load|store)")
CUOBJDUMP = Path(triton.__path__[0]) / "backends/nvidia/bin/cuobjdump"


class Report(NamedTuple):
    """A binary's figures; `spills` are bytes of the stack a thread (NVIDIA) or spilled registers (AMD)."""

    op: str
    kernel: str
    dtype: str
    target: str
    layout: str
    registers: int
    spills: int
    shared: int
    instructions: int
    matrix_instructions: int
    wide_loads: int
    faults: tuple[str, ...]


def report(launch: Launch) -> Report:
    """Compile a launch and judge the binary; what does not build is a fault too."""
    named = (launch.op, launch.kernel, launch.dtype, launch.target, launch.layout)
    try:
        binary = triton.compile(launch.source, target=TARGETS[launch.target], options=launch.options)
    except Exception as error:  # noqa: BLE001 -- any error of the compiler is the finding
        return Report(*named, 0, 0, 0, 0, 0, 0, (f"does not build: {_cause(error)}",))
    read = _amd if "amdgcn" in binary.asm else _nvidia
    registers, spills, instructions = read(binary.asm)
    shared = binary.metadata.shared
    matrix, wide, moves = (
        sum(bool(pattern.match(line)) for line in instructions) for pattern in (MATRIX_UNITS, WIDE_LOADS, SPILL_MOVES)
    )
    faults = []
    if spills or moves:
        faults.append(f"spills {spills} ({moves} moves)")
    if shared > SHARED_LIMIT_BYTES[launch.target]:
        faults.append(f"needs {shared} bytes of shared memory; {SHARED_LIMIT_BYTES[launch.target]} exist")
    if "tt.dot" in binary.asm["ttir"] and not matrix:
        faults.append("multiplies without matrix units")
    if launch.wide_loads and not wide:
        faults.append("has no 16-byte load though the layout allows it")
    return Report(*named, registers, spills, shared, len(instructions), matrix, wide, tuple(faults))


def _nvidia(asm: Any) -> tuple[int, int, list[str]]:
    """Registers, bytes of stack, and the instructions."""
    with TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(asm["cubin"])
        usage, listing = (
            subprocess.run([CUOBJDUMP, look, cubin], check=True, text=True, capture_output=True).stdout
            for look in ("-res-usage", "-sass")
        )
    registers, stack, local = (int(_find(rf"\b{name}:(\d+)", usage)) for name in ("REG", "STACK", "LOCAL"))
    lines = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@\S+\s+)?([A-Z][^;]*);", listing)
    return registers, stack + local, [line for line in lines if not line.startswith("NOP")]


def _amd(asm: Any) -> tuple[int, int, list[str]]:
    """Vector registers, how many of them spill, and the instructions.

    Spilled scalar registers do not count: they go to lanes of vector registers, not to memory.
    """
    text = asm["amdgcn"]
    registers, spills = (int(_find(rf"\.{name}:\s+(\d+)", text)) for name in ("vgpr_count", "vgpr_spill_count"))
    return registers, spills, re.findall(r"^\t([a-z]+_\w+[^\n]*)", text, flags=re.MULTILINE)


def _cause(error: BaseException) -> str:
    """The line of what went wrong first; the compiler wraps it once per call of a device function."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{getattr(error, 'error_message', None) or error}".splitlines()[-1][:200]


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return found[1]
