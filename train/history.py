"""What a training did, epoch by epoch: `history.json`, a plot of it, and logs for TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["HISTORY", "Row", "TensorBoardLog", "write_history", "write_plot"]

Row = Mapping[str, float | int]
"""One epoch: ``epoch``, ``loss``, ``learning_rate``, ``seconds``, ``validation_...``; of epoch 0, what a training began
with, the last alone."""

HISTORY = "history.json"
PLOT = "history.png"


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """Write the rows of all epochs done, one a line."""
    lines = ",\n".join("  " + json.dumps(dict(row)) for row in rows)
    (folder / HISTORY).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def write_plot(folder: Path, rows: Sequence[Row], best_epoch: int) -> bool:
    """Draw loss and validation figures over the epochs; False without matplotlib, or when the plot cannot be written:
    a training needs neither.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row.get("loss", math.nan) for row in rows], label="training (augmented, with dropout)")
    left.plot(epochs, [row["validation_loss"] for row in rows], label="validation")
    left.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
    for name in rows[0]:
        if name.startswith("validation_") and name != "validation_loss":
            right.plot(epochs, [row[name] for row in rows], label=name.removeprefix("validation_").replace("_", " "))
    right.set(xlabel="epoch", ylabel="validation part")
    for axes in (left, right):
        axes.axvline(best_epoch, color="0.6", linewidth=1.0, linestyle=":", label="kept")
        axes.legend(frameon=False, fontsize=8)
    part = folder / f"part.{PLOT}"
    try:
        figure.savefig(part, dpi=120, format="png")
        part.replace(folder / PLOT)
    except OSError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


class TensorBoardLog:
    """Scalars in ``tensorboard/`` of a run folder. Written by TensorFlow alone: tensorboard itself only reads them.

    Raises `OSError` when it cannot write them.
    """

    def __init__(self, tf: Any, folder: Path) -> None:
        self._tf = tf
        with self._writing():
            self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        # tf.summary.scalar is the tensorboard package's; this is all that it adds.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR"
        )

    def add(self, row: Row) -> None:
        """Log an epoch."""
        with self._writing(), self._writer.as_default():
            for name, value in row.items():
                if name != "epoch":
                    tag = name.replace("validation_", "validation/")
                    tensor = self._tf.constant(value, self._tf.float32)
                    self._tf.summary.write(tag, tensor, step=int(row["epoch"]), metadata=self._metadata)
            self._writer.flush()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; what was not written by then has been told."""
        with suppress(OSError), self._writing():
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except self._tf.errors.OpError as error:
            raise OSError(str(error.message).partition(" [Op:")[0].rpartition("}} ")[2]) from None
