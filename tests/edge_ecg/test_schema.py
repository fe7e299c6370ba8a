"""Strict decoding: what fits is built, what does not is refused with its path."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.errors import ConfigError, ModelError
from edge_ecg.schema import decode, encode


@dataclass(frozen=True, slots=True)
class Tensor:
    scale: float
    zero_point: int
    shape: tuple[int, ...] = ()
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    name: str
    precision: Literal["int8", "float32"]
    tensor: Tensor
    signed: bool = False
    seed: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    count: int = field(default=1, metadata={"above": 0})

    def __post_init__(self) -> None:
        if self.name == "evil":
            raise ValueError("no bundle may be called evil")


def bundle(**changes: object) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": "m", "precision": "int8", "tensor": {"scale": 0.5, "zero_point": -3}}
    return {**plain, **changes}


def refusal(mapping: dict[str, Any]) -> str:
    with pytest.raises(ModelError) as caught:
        decode(Bundle, mapping, where="manifest.json", error=ModelError)
    assert str(caught.value).startswith("manifest.json: ")
    return str(caught.value)


def test_builds_nested_dataclasses_with_tuples_and_defaults() -> None:
    plain = bundle(
        tensor={"scale": 1, "zero_point": 0, "shape": [1, 187], "span": [0, 1.5]},
        metrics={"accuracy": 1},
        tensors=[{"scale": 2.0, "zero_point": 1}],
    )
    built = decode(Bundle, plain, where="x", error=ModelError)
    assert built == Bundle(
        "m",
        "int8",
        Tensor(1.0, 0, (1, 187), (0.0, 1.5)),
        metrics={"accuracy": 1.0},
        tensors=(Tensor(2.0, 1),),
    )
    assert type(built.tensor.scale) is float
    assert type(built.metrics["accuracy"]) is float
    assert built.seed is None


@pytest.mark.parametrize(
    ("mapping", "parts"),
    [
        (bundle(nam="x"), ['unknown key "nam"', 'Did you mean "name"?']),
        (
            bundle(tensor={"scale": 1.0, "zero_pont": 0, "zero_point": 0}),
            ['unknown key "tensor.zero_pont"', '"tensor.zero_point"'],
        ),
        (bundle(tensor={"q": 1}), ['"tensor.q"', "Known here: scale, zero_point, shape, span"]),
        (bundle(tensor={"scale": 1.0}), ['"tensor.zero_point" is missing', "a whole number"]),
        ({"name": "m", "precision": "int8"}, ['"tensor" is missing', "a table"]),
        (bundle(name=3), ['"name" must be text, found 3']),
        (bundle(name=None), ['"name" must be text, found nothing']),
        (bundle(seed=True), ['"seed" must be a whole number, found true']),
        (bundle(seed=1.0), ['"seed" must be a whole number, found 1.0']),
        (bundle(signed=1), ['"signed" must be true or false, found 1']),
        (bundle(tensor={"scale": True, "zero_point": 0}), ['"tensor.scale" must be a number, found true']),
        (bundle(tensor={"scale": "1", "zero_point": 0}), ['"tensor.scale" must be a number, found "1"']),
        (bundle(tensor={"scale": float("nan"), "zero_point": 0}), ['"tensor.scale" must be a finite number']),
        (
            bundle(tensor={"scale": 10**400, "zero_point": 0}),
            ["must be a finite number, found a huge number"],
        ),
        (bundle(tensor=[1]), ['"tensor" must be a table, found a list']),
        (
            bundle(tensor={"scale": 1.0, "zero_point": 0, "shape": [1, "2"]}),
            ['"tensor.shape[1]" must be a whole number, found "2"'],
        ),
        (bundle(tensor={"scale": 1.0, "zero_point": 0, "shape": "12"}), ['"tensor.shape" must be a list']),
        (bundle(tensor={"scale": 1.0, "zero_point": 0, "span": [1.0]}), ["a list of 2 values, found 1"]),
        (bundle(tensors=[{"scale": 1.0}]), ['"tensors[0].zero_point" is missing']),
        (bundle(metrics={"f1": "high"}), ['"metrics.f1" must be a number, found "high"']),
        (bundle(metrics=[]), ['"metrics" must be a table, found a list']),
        (bundle(precision="int9"), ['one of "int8", "float32"', 'found "int9"', 'Did you mean "int8"?']),
        (bundle(precision=["int8"]), ["found a list"]),
        (bundle(count=0), ['"count" must be above 0, found 0']),
        (bundle(name="evil"), ["no bundle may be called evil"]),
    ],
)
def test_refuses_with_path_expectation_and_finding(mapping: dict[str, Any], parts: list[str]) -> None:
    message = refusal(mapping)
    for part in parts:
        assert part in message


def test_refuses_what_is_no_table_at_all() -> None:
    with pytest.raises(ConfigError, match="the whole must be a table, found a list"):
        decode(Bundle, [1, 2], where="x", error=ConfigError)  # type: ignore[arg-type]


finite = st.floats(allow_nan=False, allow_infinity=False)
tensors = st.builds(
    Tensor,
    finite,
    st.integers(),
    st.lists(st.integers()).map(tuple),
    st.none() | st.tuples(finite, finite),
)
bundles = st.builds(
    Bundle,
    st.text().filter(lambda text: text != "evil"),
    st.sampled_from(["int8", "float32"]),
    tensors,
    st.booleans(),
    st.none() | st.integers(),
    st.dictionaries(st.text(), finite),
    st.lists(tensors, max_size=3).map(tuple),
    st.integers(min_value=1),
)


@given(bundles)
def test_what_encode_writes_decode_reads_back_through_json(built: Bundle) -> None:
    text = json.dumps(encode(built))
    assert decode(Bundle, json.loads(text), where="x", error=ModelError) == built


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["scale", "shape", "x"]), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from(list(bundle(signed=0, seed=0, metrics=0, tensors=0, count=0))), json_values)
def test_any_json_is_built_or_refused_never_a_crash(key: str, value: object) -> None:
    try:
        built = decode(Bundle, bundle(**{key: value}), where="x", error=ModelError)
    except ModelError:
        return
    assert decode(Bundle, encode(built), where="x", error=ModelError) == built


def test_encode_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(TypeError, match="complex"):
        encode({"value": 1j})
