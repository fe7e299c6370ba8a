"""Work on many records at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TypeVar

from edge_ecg.errors import DataError

__all__ = ["each_in_turn"]

T = TypeVar("T")
R = TypeVar("R")


def each_in_turn(work: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Generator[tuple[int, R], None, None]:
    """Number and result of each task, as they are done; close it to stop: tasks under way are finished first.

    Parameters
    ----------
    work
        A function of a module of this checkout.
    jobs
        Processes; with 1 the work is done in this one.

    Raises
    ------
    DataError
        A process was ended from outside.
    """
    if jobs <= 1:
        yield from ((k, work(task)) for k, task in enumerate(tasks))
        return
    # Spawned, for fresh interpreters; they shall find the packages of this checkout and no others.
    root = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, root)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts)
    try:
        # No more than the workers have in hand: what is queued could not be called back.
        waiting = iter(enumerate(tasks))
        futures = {pool.submit(work, task): k for k, task in islice(waiting, jobs)}
        while futures:
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                futures |= {pool.submit(work, task): k for k, task in islice(waiting, 1)}
                yield futures.pop(future), future.result()
    except BrokenProcessPool:
        raise DataError("a worker process was ended from outside", "Short of memory? Ask for one process") from None
    finally:
        # After Ctrl-C or an error the tasks under way are finished and kept, the others not begun.
        pool.shutdown(wait=True, cancel_futures=True)
        sys.path.remove(root)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
