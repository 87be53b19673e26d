"""Times an op of the revision on PYTHONPATH: one call for each line that comes in, its seconds go out."""

import sys
import time

import torch


def main(file: str, device: str) -> None:
    """`file` holds the op's name, its arguments, whether to run its backward, and the number of threads."""
    name, args, backward, threads = torch.load(file, weights_only=False)
    torch.set_num_threads(threads)
    leaves = [argument for argument in args if isinstance(argument, torch.Tensor) and argument.requires_grad]
    try:
        import spt_kernels

        op = getattr(spt_kernels, name)
        call(op, args, leaves if backward else [])
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        print(f"its interface differs ({type(error).__name__}: {str(error).splitlines()[0][:150]})", flush=True)
        return
    print("ready", flush=True)
    for _ in sys.stdin:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call(op, args, leaves if backward else [])
        if device == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - start, flush=True)


def call(op, args, leaves) -> None:
    """One forward, and the backward where there are leaves."""
    with torch.set_grad_enabled(bool(leaves)):
        result = op(*args)
    if leaves:
        torch.autograd.grad(result, leaves, torch.ones_like(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
