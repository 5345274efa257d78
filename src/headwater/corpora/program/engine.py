"""Batches through the local steps, on this machine's processors or a Ray cluster: the same messages in, the same messages out.

daft carries them. What is done to a batch depends on the batch and the recipe alone, and results are put back into the order of the batches, so how many
processes there are, and where, changes nothing in the result.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Any

from headwater.corpora.program.steps import LocalSteps, Materials
from headwater.corpora.recipe import CorpusRecipe

# Both report to their makers unless told otherwise, and both ask when they are imported.
QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
RAY_ADDRESS = "RAY_ADDRESS"


class Engine:
    """Not thread-safe. ``workers`` processes work at the same time."""

    def __init__(self, recipe: CorpusRecipe, materials: Materials, *, workers: int) -> None:
        os.environ.update(QUIET)
        import daft

        self.workers = max(1, workers)
        self._is_ray = recipe.engine == "ray"
        _use(recipe.engine)

        @daft.cls(max_concurrency=self.workers, use_process=True)
        class Worker:
            def __init__(self, recipe_json: str, materials: bytes) -> None:
                os.environ.update(QUIET)
                self._steps = LocalSteps(CorpusRecipe.model_validate_json(recipe_json), pickle.loads(materials))  # noqa: S301 (our own)

            @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=1)  # type: ignore[untyped-decorator]
            def process(self, messages: Any) -> Any:
                return [self._steps.process(message) for message in messages.to_pylist()]

        self._daft = daft
        self._worker = Worker(recipe.model_dump_json(by_alias=True), pickle.dumps(materials))

    def map(self, messages: Sequence[bytes]) -> list[bytes]:
        """The finished batches, in the order of the raw ones."""
        col = self._daft.col
        frame = self._daft.from_pydict({"place": list(range(len(messages))), "message": list(messages)})
        if self._is_ray:  # a partition is what goes to a worker there; here batches of one row do
            frame = frame.into_partitions(len(messages))
        found = frame.select(col("place"), self._worker.process(col("message")).alias("message")).to_pydict()
        finished = dict(zip(found["place"], found["message"], strict=True))
        return [finished[place] for place in range(len(messages))]


_used: list[str] = []


def _use(engine: str) -> None:
    """Daft takes one engine for the life of a process."""
    import daft

    if _used == [engine]:
        return
    if engine == "ray":
        _join_ray()
        daft.set_runner_ray()
    else:
        daft.set_runner_native()
    _used.append(engine)


def _join_ray() -> None:
    """A cluster by ``RAY_ADDRESS``; without one, a small one of this process's own, on this host alone."""
    import ray

    if ray.is_initialized():
        return
    variables = {"env_vars": QUIET}
    if os.environ.get(RAY_ADDRESS):
        ray.init(address=os.environ[RAY_ADDRESS], runtime_env=variables, log_to_driver=False)
    else:
        # "local": without it, Ray joins whatever cluster somebody else has started on this host.
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            include_dashboard=False,
            runtime_env=variables,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            # Ray gives way to all else on the machine, as a guest; this is a run's own work.
            _system_config={"worker_niceness": 0},
        )
