"""What the networks are worth, as Markdown for docs/results.md, from the files of `benchmarks.training` alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.training_cells import (
    about,
    mean_of,
    number,
    over_seeds,
    percent,
    section,
    share_of_largest,
    spread,
    table,
    with_limits,
)
from benchmarks.training_details import bundles, new_patients, sturdiness
from benchmarks.training_results import NETWORKS, Group, Result, best_of, bundle_of, seeds_of
from edge_ecg.scoring.confusion import ec57_score

__all__ = ["PAPER", "sections"]

PAPER: dict[str, dict[str, tuple[float, ...]]] = {
    "mitdb": {"baseline": (0.98502, 0.9173), "residual": (0.98712, 0.9230), "deep_residual": (0.98771, 0.9222)},
    "ptbdb": {"baseline": (0.98592,), "residual": (0.98660,), "deep_residual": (0.99141,)},
}
"""Accuracy, and macro F1 of five classes, of float networks. Source: Naidu & Lavanya Devi, *An Optimized Solution: Deep
Residual Learning for ECG Signal Classification*, 2020. ptbdb: lead II, a private cut of ptbdb (14,552 beats)."""

_SEVERAL = "several seeds: mean ± standard deviation (how many)"


def sections(results: Sequence[Result]) -> list[str]:
    """The sections that there is anything to say in."""
    made = (beside_the_paper, ptb, seeds, bundles, new_patients, sturdiness)
    return [text for of in made if (text := of(results))]


def beside_the_paper(results: Sequence[Result]) -> str:
    """The five classes of mitdb: the paper's figures, ours on the same kind of split, ours on new patients."""
    rows: list[list[str]] = []
    told: dict[str, Result] = {}
    for network, name in NETWORKS.items():
        home = Group("mitdb", network)
        published, new = home._replace(segmentation="paper"), home._replace(split="inter")
        found = {
            "random": best_of(results, home) or bundle_of(results, home),
            "paper": best_of(results, published),
            "inter": best_of(results, new),
        }
        told = {kind: r for kind, r in found.items() if r} | told
        if any(found.values()):
            rows.append([
                name, f"{PAPER['mitdb'][network][0]:.4f} / {PAPER['mitdb'][network][1]:.4f}",
                *_of_one_and_all(results, home), _cell(results, published), *_of_new_patients(results, new),
            ])  # fmt: skip
    if not rows:
        return ""
    what = {
        "random": "ours and int8",
        "paper": "*published windows* (`--segmentation paper`; they look ahead, so no device can cut them)",
        "inter": "***new patients*, the same recipe trained on DS1 and tested on DS2**",
    }
    lines = [
        f"Accuracy / macro F1; {_SEVERAL}. *Ours* is the seed that ships, or the best",
        "on the validation part. Paper: Naidu & Lavanya Devi 2020, float networks on the published windows, patients",
        "on both sides. All of it device-independent.",
        "",
        *(f"- {text}: {about(told[kind], precision=False)}" for kind, text in what.items() if kind in told),
    ]
    if "inter" in told:
        lines.append(
            "- S and V by EC57: F and Q beats called V do not count against V +P, nor Q beats called S against S +P"
        )
    head = ["network", "paper, float", "ours, float", "ours, float, seeds", "int8, shipped", "KB of int8"]
    head += ["published windows, float", "**new patients**, float: accuracy", "S Se / +P %", "V Se / +P %"]
    return section("The three networks beside the paper", lines, table(head, rows))


def ptb(results: Sequence[Result]) -> str:
    """Infarction or healthy: beats mixed, and whole patients."""
    mixed: list[list[str]] = []
    whole: list[list[str]] = []
    shown: dict[str, Result] = {}
    for network, name in NETWORKS.items():
        home = Group("ptb", network)
        if one := best_of(results, home) or bundle_of(results, home):
            shown.setdefault("mixed", one)
            mixed.append([name, f"{PAPER['ptbdb'][network][0]:.4f}", *_of_one_and_all(results, home)])
        for run in seeds_of(results, home._replace(split="patient")):
            shown.setdefault("whole", run)
            whole.append([name, str(run.seed), *_by_beat(run), *_by_patient(run)])
    lines: list[str] = []
    if mixed:
        head = ["network", "paper, float, lead II", "ours, float", "ours, float, seeds", "int8, shipped", "KB of int8"]
        lines += [
            f"Beats of all patients mixed, accuracy / ROC AUC; {_SEVERAL}.",
            f"{about(shown['mixed'], precision=False)}.",
            "The paper's accuracy (Naidu & Lavanya Devi 2020, float) is of lead II, of a private cut of ptbdb with",
            "14,552 beats: **not comparable** with our lead I. Its AUC equals its accuracy to the digit: left out.",
            "", *table(head, mixed), "",
        ]  # fmt: skip
    if whole:
        head = ["network", "seed", "accuracy per beat", "AUC per beat", "always the larger class"]
        head += ["accuracy per patient", "AUC per patient", "always the larger class"]
        lines += [
            f"**New patients**: {about(shown['whole'])}.",
            "Each beat is scored by the model that has not seen its patient; a patient by the mean probability of",
            "their beats, above one half is infarction. 95 % intervals, whole patients drawn. *Always the larger",
            "class* is what saying infarction of everybody gets.",
            "", *table(head, whole), "",
        ]  # fmt: skip
    return section("Infarction or healthy (ptb, lead I)", lines[:-1]) if lines else ""


def seeds(results: Sequence[Result]) -> str:
    """Every run: what it was chosen by, and what it then scored."""
    order = {network: k for k, network in enumerate(NETWORKS)}

    def place(r: Result) -> tuple[object, ...]:
        g = r.group
        return g.dataset, g.segmentation, g.split != "random", g.split, order.get(g.network, 99), r.recipe, r.seed

    rows = []
    for r in sorted((r for r in results if not r.is_bundle), key=place):
        g, t, n = r.group, r.table, len(r.table["models"])
        epochs = sorted({m["best_epoch"] for m in t["models"]})
        shipped = bundle_of(results, g)
        ships = shipped is not None and shipped.seed == r.seed and r is best_of(results, g)
        rows.append([
            f"{g.dataset}, {t['lead']}", g.segmentation, f"`{g.split}`" + (f", {n} folds" if n > 1 else ""),
            NETWORKS.get(g.network, g.network), str(r.seed), f"`{r.recipe}`",
            f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else f"{epochs[0]}", *map(number, r.validation),
            number(t["accuracy"]), number(r.auc if r.is_binary else t["macro_f1"]), "ships" if ships else "",
        ])  # fmt: skip
    if not rows:
        return ""
    lines = [
        "Float networks (Keras), single beats at known R, class map `aami5` (ptb: the class of the patient),",
        "device-independent. Epoch and seed are chosen by validation accuracy + macro F1 (two classes: + ROC AUC),",
        "never by the test. Of folds: the mean of their validation figures, and the test beats of all. *Recipe* is a",
        "hash; means and spreads are over one recipe.",
    ]
    head = ["data, lead", "windows", "split", "network", "seed", "recipe", "best epoch", "validation accuracy"]
    head += ["validation F1 (AUC)", "test accuracy", "test F1 (AUC)", ""]
    return section("Seeds", lines, table(head, rows))


def _of_one_and_all(results: Sequence[Result], home: Group) -> list[str]:
    """The seed that ships, all seeds, the int8 bundle and its size."""
    one, runs, shipped = best_of(results, home), seeds_of(results, home), bundle_of(results, home)
    return [
        over_seeds([one] if one else []),
        over_seeds(runs) if len(runs) > 1 else "",
        over_seeds([shipped] if shipped else []),
        f"{shipped.table['bytes'] / 1000:,.0f}" if shipped else "",
    ]


def _cell(results: Sequence[Result], group: Group) -> str:
    runs = seeds_of(results, group)
    return over_seeds(runs) + _other_recipe(results, runs)


def _of_new_patients(results: Sequence[Result], group: Group) -> list[str]:
    runs = seeds_of(results, group)
    if not runs:
        return ["", "", ""]
    scores = [ec57_score(run.table["confusion"]) for run in runs]
    rates = (f"{percent(mean_of(scores, f'{k}_se'))} / {percent(mean_of(scores, f'{k}_ppv'))}" for k in "sv")
    how_many = f" ({len(runs)})" if len(runs) > 1 else ""
    return [spread([run.table["accuracy"] for run in runs]) + how_many + _other_recipe(results, runs), *rates]


def _other_recipe(results: Sequence[Result], runs: Sequence[Result]) -> str:
    """A remark where a figure is not of the recipe of its row."""
    home = best_of(results, Group(runs[0].group.dataset, runs[0].group.network)) if runs else None
    return " (another recipe)" if home and home.recipe != runs[0].recipe else ""


def _by_beat(run: Result) -> list[str]:
    t, over = run.table, run.table["intervals"]["over_patients"]
    return [
        with_limits(t["accuracy"], over and over["accuracy"]),
        with_limits(run.auc, over and over["per_class"][t["classes"][1]]["roc_auc"]),
        share_of_largest(c["n"] for c in t["per_class"].values()),
    ]


def _by_patient(run: Result) -> list[str]:
    people = run.table["per_patient"]
    if people is None:
        return ["-", "-", "-"]
    both = [with_limits(people[key], people["intervals"][key]) for key in ("accuracy", "roc_auc")]
    return [*both, share_of_largest(np.bincount([p["reference"] for p in people["patients"]]).tolist())]
