"""Another revision of an op, timed in turn with ours in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from spt_kernels.bench.cases import Case

WORKER = Path(__file__).with_name("base_worker.py")
REPOSITORY = Path(__file__).parents[3]


class BaseError(Exception):
    """The other revision cannot be timed."""


@contextmanager
def revision(name: str) -> Iterator[Path]:
    """Another revision's `kernels` folder, its compiled part built.

    Raises:
        BaseError: git knows no such revision here, or it does not build.
    """
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        added = _git("worktree", "add", "--detach", str(tree), name)
        if added.returncode:
            raise BaseError(f"`--base {name}`: git has no such revision here; name one that `git log` shows")
        try:
            if (tree / "pyproject.toml").read_text().find("ext-modules") >= 0:
                build = [sys.executable, "-c", "from setuptools import setup; setup()", "build_ext", "--inplace"]
                built = subprocess.run(build, cwd=tree, capture_output=True, text=True)
                if built.returncode:
                    raise BaseError(f"`--base {name}` does not build: {built.stderr.strip().splitlines()[-1]}")
            yield tree / "kernels"
        finally:
            _git("worktree", "remove", "--force", str(tree))


@contextmanager
def timers(kernels: Path, device: str) -> Iterator[Callable[[Case, str], Callable[[], float]]]:
    """Makes a call that times the case's op once in the other revision and returns its seconds.

    Making one raises `BaseError` where that revision's op does not take these arguments.
    """
    workers: list[subprocess.Popen[str]] = []
    with TemporaryDirectory() as folder:

        def start(case: Case, passes: str) -> Callable[[], float]:
            if case.call is None:
                raise BaseError("`--base` times single ops; this benchmark joins several")
            file = Path(folder) / f"{len(workers)}.pt"
            name, args = case.call
            torch.save((name, args, "backward" in passes, torch.get_num_threads()), file)
            worker = subprocess.Popen(
                [sys.executable, str(WORKER), str(file), device],
                env=os.environ | {"PYTHONPATH": str(kernels)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            workers.append(worker)
            assert worker.stdin is not None
            assert worker.stdout is not None
            stdin, stdout = worker.stdin, worker.stdout
            said = stdout.readline().strip()
            if said != "ready":
                raise BaseError(f"the other revision's `{name}` cannot be timed: {said or 'it ended'}")

            def once() -> float:
                stdin.write("go\n")
                stdin.flush()
                return float(stdout.readline())

            return once

        try:
            yield start
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()
                for pipe in (worker.stdin, worker.stdout):
                    if pipe is not None:
                        pipe.close()


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
