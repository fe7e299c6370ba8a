"""Fine-tuning: what is kept, found again, gone on with; one seed, one network."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted import interrupted, same
from small_runs import RECIPE, small_baseline, small_source

from edge_ecg.errors import ConfigError, DataError, UsageError
from quantize.copies import copy_of
from quantize.source import Source
from quantize.tune import Tuned, Tuning, tune

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

TWO = Tuning(epochs=2, learning_rate=3e-3)


@pytest.fixture(scope="module")
def source() -> Source:
    return small_source(small_baseline())


def tuned_copy(source: Source, folder: Path, tuning: Tuning = TWO, **more: Any) -> tuple[Tuned, list[np.ndarray]]:
    model = copy_of(source.network, 0.25)
    more = {"teacher": source.network, "what": "as-it-is", **more}
    return tune(model, source, tuning, folder, **more), model.get_weights()


def test_a_stopped_change_goes_on_to_what_a_straight_one_gives(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = source.network.get_weights()
    straight, weights = tuned_copy(source, tmp_path / "straight")
    assert same(before, source.network.get_weights()), "the run's network is as it was"
    assert straight.rows[1]["loss"] < straight.rows[0]["loss"], "it learns"
    assert straight.best["validation_accuracy"] == max(row["validation_accuracy"] for row in straight.rows)

    n_batches = -(-len(source.split.train) // RECIPE.batch_size)
    with pytest.raises(KeyboardInterrupt):
        # One look an epoch is at the validation part.
        tuned_copy(replace(source, data=interrupted(source.data, n_batches + 3)), tmp_path / "stopped")
    told = capsys.readouterr().out
    assert "as-it-is stopped; its 1 epochs of 2 are kept. The same command goes on" in told

    again, weights_again = tuned_copy(source, tmp_path / "stopped")
    assert "goes on after epoch 1 of 2" in capsys.readouterr().out
    assert same(weights, weights_again)
    assert not again.was_done
    assert [row["loss"] for row in again.rows] == [row["loss"] for row in straight.rows]

    # Done once, it is not done again; neither for other settings.
    found, weights_found = tuned_copy(replace(source, data=interrupted(source.data, 0)), tmp_path / "stopped")
    assert found.was_done
    assert found.rows == again.rows
    assert same(weights, weights_found)
    place = next((tmp_path / "stopped" / "changes").iterdir())
    assert f"as-it-is: done before, taken from {place}" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        tuned_copy(replace(source, data=interrupted(source.data, 0)), tmp_path / "stopped", replace(TWO, seed=1))
    assert "no epoch of it is kept" in capsys.readouterr().out


def test_the_best_epoch_is_one_that_counts(source: Source, tmp_path: Path) -> None:
    import tf_keras as keras

    class Spoils(keras.callbacks.Callback):  # type: ignore[misc]
        """Leaves nothing of what the second epoch learnt, before it is scored."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                self.model.layers[-1].set_weights([0.0 * w for w in self.model.layers[-1].get_weights()])

    tuned, weights = tuned_copy(source, tmp_path, callback=Spoils(), what="any")
    assert tuned.best_epoch == 1
    assert weights[-2].any()
    tuned, weights = tuned_copy(source, tmp_path, callback=Spoils(), what="last", first_counted=2)
    assert tuned.best_epoch == 2
    assert not weights[-2].any()


def test_the_seed_and_the_teacher_matter(source: Source, tmp_path: Path) -> None:
    one = Tuning(epochs=1, learning_rate=1e-3)
    first = tuned_copy(source, tmp_path / "a", one)[1]
    assert same(first, tuned_copy(source, tmp_path / "b", one)[1])
    assert not same(first, tuned_copy(source, tmp_path / "c", replace(one, seed=1))[1])
    taught_less = tuned_copy(source, tmp_path / "d", replace(one, teacher_share=0.0))
    assert not same(first, taught_less[1])
    alone = tuned_copy(source, tmp_path / "e", replace(one, teacher_share=0.0), teacher=None)
    assert same(taught_less[1], alone[1])


def test_what_cannot_be_is_told(source: Source, tmp_path: Path) -> None:
    for settings, told in (
        ({"epochs": 0}, "0 epochs"),
        ({"epochs": 1, "learning_rate": 0.0}, "learning rate"),
        ({"epochs": 1, "teacher_share": 1.5}, "from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=told):
            Tuning(**settings)
    holed = copy_of(source.network, 0.25)
    holed.layers[-1].set_weights([w * np.nan for w in holed.layers[-1].get_weights()])
    with pytest.raises(ConfigError, match="the loss of step 1 in epoch 1 is not a number"):
        tune(holed, source, TWO, tmp_path, what="holed")

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
        with pytest.raises(DataError, match=r"cannot keep epoch 1 in .*: File too large\. Make room"):
            tuned_copy(source, tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "full" / "changes").glob("*/part")), "nothing half written"
