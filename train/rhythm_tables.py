"""A LightGBM model as the integer tables that a device runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_ecg.infer.trees import LEAVES, TreeTables

__all__ = ["calibrated", "tables_of"]


def tables_of(boosters: Sequence[Any], n_columns: int) -> TreeTables:
    """Tables of the mean of multi-class boosters of numbers without gaps.

    A tree's middle goes to the bias of its class, so that its leaves use all of a byte; one scale serves all.

    Raises
    ------
    ValueError
        A tree has more than `LEAVES` leaves, a column more than 255 thresholds.
    """
    dumps = [booster.dump_model() for booster in boosters]
    roots = [info["tree_structure"] for dump in dumps for info in dump["tree_info"]]
    n_classes = int(dumps[0]["num_class"])
    thresholds: list[set[np.float32]] = [set() for _ in range(n_columns)]
    for root in roots:
        for node in _decisions(root):
            thresholds[node["split_feature"]].add(np.float32(node["threshold"]))
    edges = [np.array(sorted(found), dtype=np.float32) for found in thresholds]
    if max(map(len, edges)) > 255:
        raise ValueError("a column has more than 255 thresholds")
    n_trees = len(roots)
    column, bin_ = (np.zeros((n_trees, LEAVES - 1), dtype=np.uint8) for _ in range(2))
    mask = np.full((n_trees, LEAVES - 1), 255, dtype=np.uint8)
    values = np.zeros((n_trees, LEAVES))
    for t, root in enumerate(roots):
        leaves = _leaves(root)
        if len(leaves) > LEAVES:
            raise ValueError(f"tree {t} has {len(leaves)} leaves, at most {LEAVES} fit")
        values[t, : len(leaves)] = leaves
        values[t, len(leaves) :] = leaves[-1]
        for k, (node, first) in enumerate(_with_first_leaf(root)):
            where = node["split_feature"]
            column[t, k] = where
            bin_[t, k] = np.searchsorted(edges[where], np.float32(node["threshold"]))
            n_left = len(_leaves(node["left_child"]))
            mask[t, k] = 255 & ~(((1 << n_left) - 1) << first)
    values /= len(boosters)
    middle = 0.5 * (values.max(axis=1) + values.min(axis=1))
    values -= middle[:, None]
    scale = max(float(np.abs(values).max()) / 127.0, 1e-12)
    return TreeTables(
        edges=np.concatenate(edges),
        n_edges=np.array([len(e) for e in edges], dtype=np.uint8),
        column=column,
        bin=bin_,
        mask=mask,
        leaf=np.rint(values / scale).astype(np.int8),
        scale=np.array([scale], dtype=np.float32),
        bias=middle.reshape(-1, n_classes).sum(axis=0).astype(np.float32),
    )


def calibrated(tables: TreeTables, temperature: float, class_biases: Sequence[float]) -> TreeTables:
    """Tables whose logits are divided by ``temperature``, and then raised by a bias a class: at no cost on the device.

    Raises
    ------
    ValueError
        The temperature is not above 0, or there is not one bias a class.
    """
    if not temperature > 0.0 or len(class_biases) != len(tables.bias):
        raise ValueError(f"no calibration of {len(tables.bias)} classes: {temperature}, {list(class_biases)}")
    bias = tables.bias.astype(np.float64) / temperature + np.array(class_biases)
    return replace(
        tables, scale=(tables.scale / np.float32(temperature)).astype(np.float32), bias=bias.astype(np.float32)
    )


def _decisions(node: dict[str, Any]) -> list[dict[str, Any]]:
    if "split_feature" not in node:
        return []
    return [node, *_decisions(node["left_child"]), *_decisions(node["right_child"])]


def _leaves(node: dict[str, Any]) -> list[float]:
    """Values from left to right."""
    if "split_feature" not in node:
        return [float(node["leaf_value"])]
    return [*_leaves(node["left_child"]), *_leaves(node["right_child"])]


def _with_first_leaf(node: dict[str, Any], first: int = 0) -> list[tuple[dict[str, Any], int]]:
    """Each decision with the number of its leftmost leaf."""
    if "split_feature" not in node:
        return []
    n_left = len(_leaves(node["left_child"]))
    return [
        (node, first),
        *_with_first_leaf(node["left_child"], first),
        *_with_first_leaf(node["right_child"], first + n_left),
    ]
