"""The search's mapper on Ray Data: tasks become the rows of a data set, actors that hold the pool work them off.

Results come back as they are finished, so a slow block holds up nobody, and a lost worker's tasks are done again.
"""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spt_dist import local_ray
from spt_dist.data.schema import DataError
from spt_dist.data.search.run import Mapper


@contextmanager
def ray_mapper(workers: int) -> Iterator[Mapper]:
    """A mapper over `workers` processes of the cluster in $RAY_ADDRESS, or of a Ray of our own on this machine.

    Ray starts with the first tasks. Using it raises `DataError` where it has fewer CPUs than workers are asked for.
    """
    mapper = _Mapper(workers)
    try:
        yield mapper
    finally:
        mapper.close()


class _Mapper:
    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started = False

    def close(self) -> None:
        """Leave Ray, if it was started."""
        if self._started:
            import ray

            ray.shutdown()

    def _start(self) -> None:
        address = local_ray.prepare()
        import ray
        import ray.data

        ray.init(
            address=address,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            log_to_driver=False,
            logging_level=logging.ERROR,
            ignore_reinit_error=True,
        )
        self._started = True
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if (cpus := ray.cluster_resources().get("CPU", 0)) < self._workers:
            raise DataError(
                f"--workers {self._workers} need as many CPUs, Ray has {cpus:g}; lower it, or set $RAY_ADDRESS"
            )

    def __call__(self, function: Callable[[Any], Any], tasks: list[Any]) -> Iterator[tuple[int, Any]]:
        if not self._started:
            self._start()
        import ray
        import ray.data

        held = ray.put(function)
        rows = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(tasks)]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,  # pyright: ignore[reportArgumentType] (Ray makes actors of a class)
            fn_constructor_args=([held],),
            compute=ray.data.ActorPoolStrategy(size=min(self._workers, len(rows))),
        )
        for row in results.iter_rows():
            yield int(row["index"]), _unpack(row["result"])


class _Worker:
    """One process: takes the function, with all that it holds, once."""

    def __init__(self, held: list[Any]) -> None:
        import ray

        self._work: Callable[[Any], Any] = ray.get(held)[0]

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A task's result, or the error of whoever has to mend it."""
        try:
            result = self._work(pickle.loads(row["task"]))
        except DataError as error:
            result = error
        return {"index": row["index"], "result": pickle.dumps(result)}


def _unpack(data: bytes) -> Any:
    result = pickle.loads(data)
    if isinstance(result, DataError):
        raise result
    return result
