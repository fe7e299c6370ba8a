"""The weights of the beat detector: what ships is whole and honest, what is not is refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.detector import SHIPPED, load_detector, pack_weights, shipped_nets
from edge_ecg.dsp.candidates import MAX_DECISION_S, CandidateFinder
from edge_ecg.errors import ModelError

TEST_PEOPLE = {
    "mitdb": "102 104 100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234",
    "svdb": "807 821 829 846 854 861 869 876 884 891",
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "qrs"))


def edit(folder: Path, **changes: object) -> None:
    where = folder / "manifest.json"
    where.write_text(json.dumps({**json.loads(where.read_text()), **changes}))


def test_shipped_weights_say_on_whom_they_were_fitted_and_no_test_person_is_among_them():
    manifest = load_detector(SHIPPED)[1]
    for people in (manifest.fitted_on, manifest.validated_on):
        assert set(people["mitdb"]) >= {"101", "230"}
        for name, test_people in TEST_PEOPLE.items():
            assert not set(test_people.split()) & set(people[name])
    assert not set(manifest.fitted_on["ecgdb_lead1"]) & set(manifest.validated_on["ecgdb_lead1"])
    assert not set(manifest.fitted_on["svdb"]) & set(manifest.validated_on["svdb"])
    assert manifest.seeds[str(manifest.seed)] == max(manifest.seeds.values())


def test_the_same_nets_are_the_same_bytes():
    assert pack_weights(shipped_nets()) == (SHIPPED / "weights.npz").read_bytes()


@pytest.mark.parametrize("name", ["manifest.json", "weights.npz"])
def test_a_missing_file_is_named(weights, name):
    (weights / name).unlink()
    with pytest.raises(ModelError, match=r"weights in .* cannot be read: No such file") as caught:
        load_detector(weights)
    assert "Install edge-ecg again" in caught.value.hint


def test_weights_of_another_fit_are_refused(weights):
    (weights / "weights.npz").write_bytes(b"PK foreign")
    with pytest.raises(ModelError, match=r"not what its manifest says: its SHA-256 begins [0-9a-f]{12}"):
        load_detector(weights)


def test_weights_for_another_front_end_are_refused(weights):
    edit(weights, front_end_version=99)
    with pytest.raises(ModelError, match="fitted to front end 99"):
        load_detector(weights)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 99}', "{" * 100_000])
def test_a_manifest_that_is_none_is_refused(weights, text):
    (weights / "manifest.json").write_text(text)
    with pytest.raises(ModelError):
        load_detector(weights)


def test_an_unknown_key_is_named(weights):
    edit(weights, threshhold=1)
    with pytest.raises(ModelError, match="threshhold"):
        load_detector(weights)


@pytest.mark.parametrize("kind", ["another shape", "not a number", "a part is missing", "no archive"])
def test_weights_that_are_none_are_refused_though_their_hash_is_right(weights, kind):
    with np.load(weights / "weights.npz") as held:
        arrays = {name: held[name] for name in held.files}
    if kind == "another shape":
        arrays["context"] = arrays["context"][:, 1:]
    elif kind == "not a number":
        arrays["out"] = np.full_like(arrays["out"], np.nan)
    elif kind == "a part is missing":
        del arrays["hidden"]
    np.savez(weights / "weights.npz", **arrays)
    if kind == "no archive":
        (weights / "weights.npz").write_bytes(b"nothing of the kind")
    edit(weights, sha256=hashlib.sha256((weights / "weights.npz").read_bytes()).hexdigest())
    with pytest.raises(ModelError, match="holds no weights of the beat detector"):
        load_detector(weights)


@pytest.mark.parametrize("fs_hz", [*range(100, 1001, 7), 100.5, 179.9, 249.73, 540.1, 1000])
def test_no_rate_costs_the_bound_on_the_delay(fs_hz):
    # White noise has its maxima everywhere: also where R lies earliest before the deciding sample.
    found = CandidateFinder(fs_hz).feed(np.random.default_rng(1).standard_normal(round(60 * fs_hz)))
    assert len(found) > 100
    assert (found.decided_at - found.r_pos).max() <= MAX_DECISION_S * fs_hz
