"""Several machines fit one network: each takes its share of every batch, and their gradients are summed.

All hold the same weights and take the same steps, so only the first of them, the chief, validates and writes. With
`ALONE` nothing of this happens, and no TensorFlow is asked.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import EdgeEcgError, UsageError

__all__ = ["ALONE", "WorkerLostError", "Workers", "join_workers", "read_tf_config"]

T = TypeVar("T")
Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_BLOCK = 65_536
_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:9000", "10.0.0.2:9000"]}, "task": {"type": "worker", "index": 0}}'


class WorkerLostError(EdgeEcgError):
    """Another worker stopped, crashed or cannot be reached."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Workers:
    """Who works on a training, seen from one of them.

    Attributes
    ----------
    index, n
        Which worker this is, of how many; 0 is the chief.
    strategy
        TensorFlow's, over whose collectives they talk; None of one that works alone.
    """

    index: int = 0
    n: int = 1
    strategy: Any = None

    @property
    def is_chief(self) -> bool:
        """Whether this one validates, writes and tells."""
        return self.index == 0

    def share(self, x: NDArray[np.float32], y: NDArray[np.float32], weights: NDArray[np.float32]) -> Batch:
        """This worker's beats of a batch, so weighted that the sum of the workers' mean losses is the batch's."""
        if self.n == 1:
            return x, y, weights
        if len(x) <= self.index:  # Fewer beats than workers: one that counts nothing keeps it in step.
            return x[:1], y[:1], np.zeros_like(weights[:1])
        mine = slice(self.index, None, self.n)
        return x[mine], y[mine], weights[mine] * np.float32(len(x[mine]) / len(x))

    def total(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Sums over all workers, the same bits on each; called within a `tf.function`."""
        if self.strategy is None:
            return tensors
        import tensorflow as tf

        def summed(values: Sequence[Any]) -> Any:
            # The reduction wants values that lie on the device of the worker, not arguments of the graph.
            here = [tf.identity(value) for value in values]
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, here)

        summed_values: Sequence[Any] = self.strategy.run(summed, args=(list(tensors),))
        return summed_values

    def ask_chief(self, question: Callable[[], T]) -> T:
        """What ``question`` gives, or raises as `EdgeEcgError`, on the chief; the others only wait for the answer."""
        if self.strategy is None:
            return question()
        told = b""
        if self.is_chief:
            answer: tuple[Any, EdgeEcgError | None]
            try:
                answer = question(), None
            except EdgeEcgError as error:
                answer = None, error
            told = pickle.dumps(answer)
        n_bytes = int.from_bytes(self._from_chief(len(told).to_bytes(8, "big"), 8), "big")
        value, failure = pickle.loads(self._from_chief(told, n_bytes))
        if failure is not None:
            raise failure
        kept: T = value
        return kept

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raises `UsageError` on every worker when the ``facts`` of one are not the chief's."""
        if self.strategy is None:
            return
        chiefs = self.ask_chief(lambda: facts)
        other = next((name for name in chiefs if chiefs[name] != facts[name]), None)
        if self._summed(np.array([other is not None], np.float32))[0] == 0:
            return
        if other is None:
            raise UsageError("another worker has other data or settings", "It says which: make them the same")
        raise UsageError(
            f"worker {self.index} has another {other} ({facts[other]}) than the chief ({chiefs[other]})",
            "Start the same command with the same code and data everywhere",
        )

    @contextmanager
    def together(self, folder: Path | None = None) -> Iterator[None]:
        """What TensorFlow says of a worker that is gone becomes `WorkerLostError`, which tells how to go on."""
        if self.strategy is None:
            yield
            return
        from tensorflow import errors

        try:
            yield
        except (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError):
            who = "another worker" if self.is_chief else "the chief or another worker"
            if folder is None:
                hint = "What it said last tells why. Start all workers again"
            elif not self.is_chief:
                hint = "The chief tells how to go on"
            elif (folder / "run.json").exists():
                hint = f"The epochs done are kept. To go on, on every worker: {self.again(folder)}"
            else:
                hint = "No epoch was done: start all workers again"
            raise WorkerLostError(f"{who} stopped or cannot be reached", hint) from None

    def again(self, folder: Path) -> str:
        """The command line that goes on with a run."""
        return f"edge-ecg train --resume {folder}" + ("" if self.strategy is None else " --strategy multiworker")

    def _from_chief(self, told: bytes, n_bytes: int) -> bytes:
        # Floats, as a collective sums them on every kind of device: the others add nothing. One shape, one graph.
        blocks = np.zeros((-(-n_bytes // _BLOCK), _BLOCK), np.float32)
        if self.is_chief:
            blocks.flat[:n_bytes] = np.frombuffer(told, np.uint8)
        heard = [self._summed(block).astype(np.uint8).tobytes() for block in blocks]
        return b"".join(heard)[:n_bytes]

    def _summed(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        summed: NDArray[np.float32] = _summing(self)(values).numpy()
        return summed


@cache
def _summing(workers: Workers) -> Any:
    import tensorflow as tf

    graph = tf.function(lambda values: workers.total([values])[0], autograph=False)
    return lambda values: graph(tf.constant(values))


ALONE = Workers()
"""One process, as ever."""


def join_workers(threads: int, say: Callable[[str], None]) -> Workers:
    """Join the workers that `TF_CONFIG` names, and wait until all are there.

    Comes before any other use of TensorFlow: its collectives are set up at the start or not at all.

    Parameters
    ----------
    threads
        Of TensorFlow on this worker; 0: as many as it likes.
    say
        Told whom it waits for.

    Raises
    ------
    UsageError
        `TF_CONFIG` is missing or malformed, or this worker cannot listen where it says.
    """
    addresses, index = read_tf_config(os.environ.get("TF_CONFIG"))
    from train.step import tensorflow_with

    tf, _ = tensorflow_with(threads)
    # One device a worker: the shares are by worker. A machine with more of them runs more workers.
    gpus = tf.config.list_physical_devices("GPU")
    tf.config.set_visible_devices(gpus[:1], "GPU")
    others = ", ".join(address for k, address in enumerate(addresses) if k != index)
    role = "the chief" if index == 0 else f"working for the chief at {addresses[0]}, which tells how it goes"
    say(f"worker {index} of {len(addresses)}, {role}; waits for {others}")
    # TensorFlow waits without listening to Python: until it is done Ctrl-C has to end the process by itself.
    held = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"worker {index} cannot join at {addresses[index]}: {first}",
            "Name a free port of this machine in TF_CONFIG, that the others reach",
        ) from None
    finally:
        signal.signal(signal.SIGINT, held)
    # It catches this one to save models before a machine goes; here it would make the process deaf to kill.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return Workers(index, len(addresses), strategy)


def read_tf_config(text: str | None) -> tuple[list[str], int]:
    """The workers' addresses ``host:port`` and which of them this is, out of `TF_CONFIG`; `UsageError` without."""

    def wrong(what: str) -> UsageError:
        return UsageError(f"TF_CONFIG {what}", f"On each worker, alike but for the index: TF_CONFIG='{_EXAMPLE}'")

    if not text:
        raise wrong("is not set: --strategy multiworker learns from it who works")
    try:
        read = json.loads(text)
        cluster, task = read["cluster"], read["task"]
        jobs, addresses, kind, index = set(cluster), cluster["worker"], task["type"], task["index"]
    except ValueError as error:
        raise wrong(f"is no JSON: {error}") from None
    except (KeyError, TypeError):
        raise wrong("must hold cluster.worker, task.type and task.index") from None
    if jobs != {"worker"} or kind != "worker":
        raise wrong('must name workers only, as "worker"; the first is the chief')
    if not isinstance(addresses, list) or not all(isinstance(a, str) and _is_address(a) for a in addresses):
        raise wrong(f'must list "host:port" of each worker, found {json.dumps(addresses)}')
    if len(set(addresses)) < max(2, len(addresses)):
        raise wrong(f"must name two workers or more, each once, found {json.dumps(addresses)}")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(addresses):
        raise wrong(f"must give an index from 0 to {len(addresses) - 1}, found {json.dumps(index)}")
    return addresses, index


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536
