from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genloom.evaluate.image import prompt_following
from genloom.evaluate.image.detector import Detector, DetectorLabels, DetectorNetwork, load_detector, preprocess_image

LABELS = DetectorLabels(("cat", "dog", "car"), ("red", "blue"), 0.4)


class Told(nn.Module):
    """A network that says of every picture what it was told."""

    def __init__(self, peaks: list[tuple[str, int, int, float, str]]):
        nn.Module.__init__(self)
        self.extract_feature_maps = torch.full((5, 16, 16), -9.0)
        for noun, row, column, score, colour in peaks:
            self.extract_feature_maps[LABELS.nouns.index(noun), row, column] = torch.logit(torch.tensor(score))
            self.extract_feature_maps[3 + LABELS.colours.index(colour), row, column] = 9.0

    def forward(self, x: Tensor) -> Tensor:
        return self.extract_feature_maps.expand(len(x), -1, -1, -1)


def found(*peaks: tuple[str, int, int, float, str]):
    detector = Detector(Told(list(peaks)), LABELS)  # ty: ignore[invalid-argument-type]
    (seen,) = detector.detect([np.zeros((64, 64, 3), np.uint8)])
    return [(one.noun, one.colour, one.x, one.y) for one in seen]


def test_peaks_above_the_threshold_are_things_with_the_colour_at_their_centre_the_surest_first():
    seen = found(("cat", 3, 12, 0.7, "red"), ("dog", 8, 1, 0.9, "blue"), ("car", 15, 15, 0.3, "red"))
    assert seen == [("dog", "blue", 1.5 / 16, 8.5 / 16), ("cat", "red", 12.5 / 16, 3.5 / 16)]


def test_two_of_a_kind_are_two_and_the_neighbours_of_a_peak_are_not():
    assert len(found(("cat", 4, 4, 0.9, "red"), ("cat", 4, 11, 0.8, "red"))) == 2
    assert len(found(("cat", 4, 4, 0.9, "red"), ("cat", 4, 5, 0.8, "red"))) == 1


def test_a_cell_shows_one_thing():
    assert [one[0] for one in found(("cat", 4, 4, 0.6, "red"), ("dog", 4, 4, 0.7, "red"))] == ["dog"]


def test_pictures_of_any_size_are_looked_at_in_batches():
    network = DetectorNetwork(LABELS).eval().requires_grad_(False)
    sizes = [(64, 64), (32, 48), (200, 100)] * 30
    pictures = [np.full((*size, 3), 128, np.uint8) for size in sizes]
    assert len(list(Detector(network, LABELS).detect(pictures))) == 90
    assert preprocess_image(pictures[1]).shape == (1, 3, 64, 64)


def test_the_detector_of_genloom_is_small_and_knows_what_the_prompts_ask_for():
    path = Path(prompt_following.__file__).parent / prompt_following.ASSETS_FOLDER / "detector.safetensors"
    assert path.stat().st_size <= 2_000_000
    detector, asked = prompt_following.load_default_detector(), prompt_following.load_prompts()
    things = {thing for one in asked for thing in one.objects}
    assert {thing.noun for thing in things} <= set(detector.labels.nouns)
    assert {thing.colour for thing in things} - {""} <= set(detector.labels.colours)
    assert set(detector.labels.bound) == set(prompt_following.TASKS)
    assert min(detector.labels.bound.values()) > 0.85
    (nothing,) = detector.detect([np.full((64, 64, 3), 255, np.uint8)])
    assert nothing == []


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 100])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes):
    path = tmp_path / "detector.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no detector"):
        load_detector(path)


def test_weights_that_fit_no_such_labels_are_told(tmp_path: Path):
    path = tmp_path / "detector.safetensors"
    weights = {name: tensor.contiguous() for name, tensor in DetectorNetwork(LABELS).state_dict().items()}
    save_file(weights, path, {"labels": '{"nouns": ["cat"], "colours": [], "threshold": 0.4, "bound": {}}'})
    with pytest.raises(ValueError, match="is no detector"):
        load_detector(path)
    save_file(weights, path)
    with pytest.raises(ValueError, match="is no detector"):
        load_detector(path)
