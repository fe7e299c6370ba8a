"""Fit the beat detector's two nets: cross-entropy, Adam, the nets' own decisions in the loop. numpy only.

Round 0 is fitted in the context that the annotations would make; then the nets run, and are fitted again in the
context that they made themselves, three times, each time on the last two rounds (the first of them on its own).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edge_ecg.dsp.candidates import N_INPUTS
from edge_ecg.dsp.nets import N_CONTEXT, N_HIDDEN, SLOPE, QrsNets
from train.candidate_set import Decided, Labelled

__all__ = ["Rows", "Schedule", "fit_rounds", "rows_of"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast."""

    passes: tuple[int, ...] = (6, 6, 6, 14)
    rates: tuple[float, ...] = (3e-3, 2e-3, 2e-3, 2e-3)
    batch: int = 4096
    l2: float = 1e-4
    sure_margin: float = 5.0
    sure_share: float = 0.2
    doubt_margin: float = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Examples: inputs ``(n, 104)``, beat or not ``(n,)``, weights ``(n,)``."""

    x: Floats
    y: Floats
    weight: Floats


def rows_of(items: Sequence[Labelled], decided: Sequence[Decided], schedule: Schedule, seed: int) -> Rows:
    """What was asked, as examples; those that are sure are thinned, and count for the ones left out.

    Where the nets are sure of the contrary in a recording whose labels are rough, nobody knows: weight 0.
    """
    rng = np.random.default_rng(seed)
    xs, ys, ws = [], [], []
    for item, d in zip(items, decided, strict=True):
        y = item.is_beat[d.at].astype(np.float32)
        weight = item.weight[d.at].copy()
        margin = np.where(y > 0.5, d.logit, -d.logit)
        sure = (margin > schedule.sure_margin) & (np.abs(d.logit) < 50.0)
        keep = (weight > 0.0) & (~sure | (rng.random(len(y)) < schedule.sure_share))
        weight[sure] /= schedule.sure_share
        if not item.recording.startswith("mitdb"):
            keep &= ~((margin < -schedule.doubt_margin) & (np.abs(d.logit) < 50.0) & (item.weight[d.at] >= 0.5))
        xs.append(np.concatenate([item.found.inputs[d.at[keep]], d.context[keep]], axis=1, dtype=np.float32))
        ys.append(y[keep])
        ws.append(weight[keep])
    return Rows(np.concatenate(xs), np.concatenate(ys), np.concatenate(ws))


# With another number of threads a product of matrices rounds differently, and the fit goes elsewhere.
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit_rounds(
    items: Sequence[Labelled],
    run: Callable[[QrsNets | None], Sequence[Decided]],
    schedule: Schedule,
    seed: int,
    tell: Callable[[int, float, QrsNets], None],
) -> QrsNets:
    """All rounds. ``run`` lets the annotations (None) or the nets decide on every item; ``tell`` hears each round."""
    first = rows_of(items, run(None), schedule, seed)
    mean, scale = first.x.mean(axis=0, dtype=np.float64), first.x.std(axis=0, dtype=np.float64) + 0.001
    trainer = _Trainer(mean, scale, schedule, seed)
    loss = trainer.fit([first], 0)
    tell(0, loss, trainer.nets())
    before: Rows | None = None
    for k in range(1, len(schedule.passes)):
        rows = rows_of(items, run(trainer.nets()), schedule, seed + k)
        loss = trainer.fit([rows] if before is None else [before, rows], k)
        before = rows
        tell(k, loss, trainer.nets())
    return trainer.nets()


class _Trainer:
    """Both nets and Adam's moments, in float32."""

    def __init__(self, mean: NDArray[np.float64], scale: NDArray[np.float64], schedule: Schedule, seed: int) -> None:
        self._mean, self._scale, self._schedule = mean, scale, schedule
        self._rng = np.random.default_rng([seed, 77])
        self._params = {}
        for name, n_in in (("s", N_INPUTS), ("d", N_INPUTS + N_CONTEXT)):
            spread = math.sqrt(2.0 / n_in)
            self._params[name + "w"] = self._rng.normal(0.0, spread, (n_in, N_HIDDEN)).astype(np.float32)
            self._params[name + "b"] = np.zeros(N_HIDDEN, np.float32)
            self._params[name + "v"] = self._rng.normal(0.0, math.sqrt(1.0 / N_HIDDEN), N_HIDDEN).astype(np.float32)
            self._params[name + "c"] = np.zeros(1, np.float32)

    def fit(self, rows: Sequence[Rows], round_: int) -> float:
        """One round of passes; returns the mean loss of the last."""
        schedule = self._schedule
        x = np.concatenate([r.x for r in rows])
        x -= self._mean.astype(np.float32)
        x /= self._scale.astype(np.float32)
        y, w = (np.concatenate([getattr(r, name) for r in rows]) for name in ("y", "weight"))
        moments = {k: (np.zeros_like(v), np.zeros_like(v)) for k, v in self._params.items()}
        n_steps, step, loss = schedule.passes[round_] * math.ceil(len(x) / schedule.batch), 0, 0.0
        for _ in range(schedule.passes[round_]):
            order, total = self._rng.permutation(len(x)), 0.0
            for at in range(0, len(x), schedule.batch):
                rate = schedule.rates[round_] * 0.5 * (1.0 + math.cos(math.pi * step / n_steps)) + 1e-5
                step += 1
                batch = order[at : at + schedule.batch]
                value, grads = self._gradients(x[batch], y[batch], w[batch])
                total += value
                self._update(grads, moments, rate, step)
            loss = total / math.ceil(len(x) / schedule.batch)
        return loss

    def _gradients(self, x: Floats, y: Floats, w: Floats) -> tuple[float, dict[str, Floats]]:
        """Each net has its own cross-entropy: the mean of two that are right each alone."""
        grads: dict[str, Floats] = {}
        value, p = 0.0, self._params
        for name, inputs in (("s", x[:, :N_INPUTS]), ("d", x)):
            sums = inputs @ p[name + "w"] + p[name + "b"]
            hidden = np.maximum(sums, SLOPE * sums)
            z = hidden @ p[name + "v"] + p[name + "c"]
            value += float((w * (np.logaddexp(0.0, z) - y * z)).sum() / w.sum())
            dz = w * (1.0 / (1.0 + np.exp(-np.clip(z, -60.0, 60.0))) - y) / w.sum()
            dh = np.outer(dz, p[name + "v"])
            dh[sums < 0.0] *= SLOPE
            grads[name + "w"] = inputs.T @ dh + self._schedule.l2 * p[name + "w"]
            grads[name + "b"] = dh.sum(axis=0)
            grads[name + "v"] = hidden.T @ dz + self._schedule.l2 * p[name + "v"]
            grads[name + "c"] = dz.sum(keepdims=True)
        return value, grads

    def _update(
        self, grads: dict[str, Floats], moments: dict[str, tuple[Floats, Floats]], rate: float, step: int
    ) -> None:
        for name, g in grads.items():
            m, v = moments[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            self._params[name] -= np.float32(rate) * (m / (1.0 - 0.9**step)) / (
                np.sqrt(v / (1.0 - 0.999**step)) + np.float32(1e-8)
            )

    def nets(self) -> QrsNets:
        """The nets as they are, standardisation folded in, rounded to what the file holds."""
        p = {k: v.astype(np.float64) for k, v in self._params.items()}
        ws = p["sw"] / self._scale[:N_INPUTS, None]
        wd = p["dw"] / self._scale[:, None]
        bias = np.concatenate([p["sb"] - self._mean[:N_INPUTS] @ ws, p["db"] - self._mean @ wd])

        def held(a: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.ascontiguousarray(a.astype(np.float32).astype(np.float64))

        return QrsNets(
            hidden=held(np.concatenate([ws.T, wd[:N_INPUTS].T])),
            hidden_bias=held(bias),
            context=held(wd[N_INPUTS:].T),
            out=held(np.concatenate([p["sv"], p["dv"]])),
            out_bias=held(np.concatenate([p["sc"], p["dc"]])),
        )
