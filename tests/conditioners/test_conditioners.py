"""Conditioners: values of training items, of people and of records, and what a network reads of them."""

from typing import Any

import numpy as np
import pytest
import torch

from genloom.conditioners import (
    columns,
    encode_given,
    field,
    format_given,
    item,
    merge_conditions,
    merge_specs,
    parse_given,
    shift_field,
)
from genloom.conditioners.text import Config as TextConfig
from genloom.conditioners.text import build as build_text
from genloom.media import image
from genloom.types import Condition, ConditionSpec, Item
from tests.errors import raises_code

TEXT = build_text(TextConfig("words", {"width": 8}))


def items_of(*values: Any, column: str = "logp") -> list[Item]:
    return [Item("", meta={} if value is None else {column: value}) for value in values]


def save_blob(blobs: dict[str, bytes], data: bytes) -> str:
    blobs["digest"] = data
    return "digest"


def fit_numbers(*values: Any) -> columns.ColumnConditioner:
    return columns.build(columns.fit(items_of(*values), columns.Config("logp")))


def fit_fields(*arrays: np.ndarray) -> field.FieldConditioner:
    return field.build(field.fit(items_of(*arrays, column="loads"), field.Config("loads")))


def test_numbers_are_standardised_with_a_flag() -> None:
    conditioner = fit_numbers(1.0, 3.0, None, float("nan"))
    assert conditioner.config.mean == (2.0,)
    assert conditioner.config.std == (1.0,)
    assert conditioner.spec == ConditionSpec(vector=2)
    vector = conditioner.encode([3.0, None, 2.0]).vector
    assert vector is not None
    assert vector.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert conditioner.get_value(items_of(2.5)[0]) == 2.5
    assert conditioner.get_value(items_of(None)[0]) is None


def test_statistics_do_not_depend_on_the_offset() -> None:
    conditioner = fit_numbers(*(1e9 + n for n in range(100)))
    assert conditioner.config.std[0] == pytest.approx(np.arange(100).std(), rel=1e-6)


def test_a_constant_column_is_not_scaled() -> None:
    assert fit_numbers(7.0, 7.0).config.std == (1.0,)


def test_several_numbers_are_one_value() -> None:
    conditioner = fit_numbers([0.0, 10.0], [2.0, 30.0])
    assert conditioner.spec == ConditionSpec(vector=3)
    assert conditioner.parse("2,30") == (2.0, 30.0)
    assert conditioner.unpack(conditioner.pack((2.0, 30.0), lambda *_: ""), lambda _: b"") == (2.0, 30.0)
    with raises_code("conditioners.bad_number", count=2):
        conditioner.parse("2")


def test_classes_are_one_hot() -> None:
    conditioner = columns.build(columns.fit(items_of("rock", "jazz", "rock"), columns.Config("logp")))
    assert conditioner.config.classes == ("jazz", "rock")
    vector = conditioner.encode(["rock", None]).vector
    assert vector is not None
    assert vector.tolist() == [[0, 1], [0, 0]]
    with raises_code("conditioners.unknown_class", value="rok", known="rock"):
        conditioner.parse("rok")


def test_statistics_of_the_job_are_not_computed_again() -> None:
    fitted = columns.Config("logp", (1.0,), (2.0,))
    assert columns.fit([], fitted) is fitted


def test_columns_without_values_or_of_two_kinds_are_errors() -> None:
    with raises_code("conditioners.no_values", column="logp", known="other"):
        columns.fit(items_of(1, column="other"), columns.Config("logp"))
    with raises_code("conditioners.mixed_column"):
        columns.fit(items_of(1, "one"), columns.Config("logp"))
    with raises_code("conditioners.ragged_column", first=2, other=1):
        columns.fit(items_of([1, 2], [3]), columns.Config("logp"))
    with raises_code("conditioners.not_fitted"):
        columns.build(columns.Config("logp"))


def test_fields_are_scaled_with_a_channel_that_says_they_are_given(tmp_path: Any) -> None:
    loads = np.stack([np.full((2, 3), 4.0), np.zeros((2, 3))])
    conditioner = fit_fields(loads, -loads)
    assert conditioner.spec == ConditionSpec(field=3)
    encoded = conditioner.encode([loads, None]).field
    assert encoded is not None
    assert encoded[0, :, 0, 0].tolist() == [1, 0, 1]
    assert not encoded[1].any()
    np.save(tmp_path / "plate.npy", loads)
    parsed = conditioner.parse(str(tmp_path / "plate.npy"))
    assert np.array_equal(parsed, loads)
    blobs: dict[str, bytes] = {}
    stored = conditioner.pack(parsed, lambda data, suffix: save_blob(blobs, data))
    assert np.array_equal(conditioner.unpack(stored, blobs.__getitem__), loads)
    assert conditioner.format(parsed) == conditioner.format(loads.astype(np.float32))
    assert conditioner.format(parsed) != conditioner.format(-parsed)
    with raises_code("conditioners.unreadable_field"):
        conditioner.parse(str(tmp_path / "missing.npy"))
    with raises_code("conditioners.field_shapes", first=(2, 2, 3), other=(1, 2, 3)):
        conditioner.get_value(Item("", meta={"loads": loads[:1]}))


def test_fields_of_different_lengths_are_padded() -> None:
    chords = [np.full((2, length, 3), 2.0) for length in (1, 4, 2)]
    conditioner = fit_fields(*chords)
    assert (conditioner.config.size, conditioner.config.has_lengths) == ((4, 3), True)
    encoded = conditioner.encode([chords[0], None, chords[1]]).field
    assert encoded is not None
    assert encoded[0, :, :, 0].tolist() == [[1, 0, 0, 0]] * 3
    assert not encoded[1].any()
    assert encoded[2].bool().all()
    longer = conditioner.encode([conditioner.check(np.ones((2, 6, 3)))]).field
    assert longer is not None
    assert longer.shape == (1, 3, 6, 3)
    for wrong in (np.ones((1, 4, 3)), np.ones((2, 4, 2)), np.ones((2, 4))):
        with raises_code("conditioners.field_shapes"):
            conditioner.check(wrong)
    with raises_code("conditioners.field_shapes"):
        fit_fields(np.ones((2, 4, 3)), np.ones((2, 4, 2)))
    cond = Condition(vector=torch.ones(2, 1), field=encoded[[0, 2], :1, :, 0])
    shifted = shift_field(cond, [0, 3])
    assert shifted.field is not None
    assert shifted.field.tolist() == [[[1, 0, 0, 0]], [[1, 0, 0, 0]]]
    assert shifted.vector is cond.vector


def test_a_caption_is_a_literal_prompt() -> None:
    caption = "a (red:1.5) fox"
    value = TEXT.get_value(Item("", meta={"caption": caption}))
    tokens = TEXT.encode([value, None]).tokens
    assert tokens is not None
    assert np.array_equal(tokens[0].numpy(), TEXT.encoder.encode([caption])[0])
    assert TEXT.get_value(Item("")) is None


def test_conditions_of_one_kind_are_concatenated_in_order() -> None:
    numbers, classes = fit_numbers(1.0, 3.0), columns.build(columns.Config("genre", classes=("jazz", "rock")))
    conditioners: Any = {"prompt": TEXT, "logp": numbers, "genre": classes}
    assert merge_specs(conditioners) == ConditionSpec(tokens=8, vector=4)
    rows = [{"prompt": "a fox", "logp": 3.0}, {"genre": "rock"}]
    merged = merge_conditions(encode_given(conditioners, rows))
    assert merged.vector is not None
    assert merged.mask is not None
    assert merged.vector.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1]]
    assert merged.mask.any(1).tolist() == [True, False]
    assert format_given(conditioners, rows[0]) == {"prompt": "a fox", "logp": "3"}
    with raises_code("conditioners.several_of_tokens", names="prompt, title"):
        merge_specs({"prompt": TEXT, "title": TEXT})


def test_rows_without_a_value_equal_masked_rows() -> None:
    """So a model trained with dropped conditions reads a missing value as one that was dropped."""
    loads = np.ones((1, 2, 2))
    conditioners: Any = {"prompt": TEXT, "logp": fit_numbers(1.0, 3.0), "loads": fit_fields(loads)}
    given = {"prompt": "a fox", "logp": 3.0, "loads": loads}
    full, empty = (merge_conditions(encode_given(conditioners, [row])) for row in (given, {}))
    masked: Condition = full.mask_rows(torch.tensor([False]))
    for kind in ("vector", "field"):
        assert torch.equal(getattr(masked, kind), getattr(empty, kind))
    assert masked.mask is not None
    assert empty.mask is not None
    assert not masked.mask.any()
    assert not empty.mask.any()


def test_unknown_conditions_are_named_with_those_there_are() -> None:
    with raises_code("conditioners.unknown", name="logb", known="prompt, logp"):
        parse_given({"prompt": TEXT, "logp": fit_numbers(1.0, 3.0)}, {"logb": "1"})
    with raises_code("conditioners.unknown", name="logp"):
        parse_given({}, {"logp": "1"})


def test_a_reference_is_read_by_its_features(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (16, 16, 3)).astype(np.uint8) for _ in range(3)]
    fitted = item.fit((Item(image) for image in images), item.Config("image"))
    assert fitted.features == "efficientnet"
    conditioner = item.build(fitted)
    vector = conditioner.encode([images[0], None, images[1]]).vector
    assert vector is not None
    assert vector.shape == (3, conditioner.spec.vector)
    assert vector[:, -1].tolist() == [1, 0, 1]
    assert not vector[1].any()
    assert vector[0, :-1].square().mean() < 9, "features are standardised"
    path = tmp_path / "reference.png"
    path.write_bytes(image.encode(images[0]))
    parsed = conditioner.parse(str(path))
    assert conditioner.format(parsed) == conditioner.format(images[0])
    blobs: dict[str, bytes] = {}
    stored = conditioner.pack(parsed, lambda data, suffix: save_blob(blobs, data))
    assert np.array_equal(conditioner.unpack(stored, blobs.__getitem__), images[0])
    with raises_code("conditioners.unreadable_item"):
        conditioner.parse(str(tmp_path / "missing.png"))
    with raises_code("conditioners.no_features", medium="text"):
        item.fit([], item.Config("text"))
