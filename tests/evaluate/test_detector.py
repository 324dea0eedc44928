"""The detector: peaks to detections, the packaged weights, and damaged files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genloom.evaluate.image import prompt_following
from genloom.evaluate.image.detector import Detector, DetectorLabels, DetectorNetwork, load_detector, preprocess_image
from tests.errors import raises_code

LABELS = DetectorLabels(("cat", "dog", "car"), ("red", "blue"), 0.4)


class FakeNetwork(nn.Module):
    """A network with the same peaks for every image."""

    def __init__(self, peaks: list[tuple[str, int, int, float, str]]):
        nn.Module.__init__(self)
        self.logits = torch.full((5, 16, 16), -9.0)
        for noun, row, column, score, colour in peaks:
            self.logits[LABELS.nouns.index(noun), row, column] = torch.logit(torch.tensor(score))
            self.logits[3 + LABELS.colours.index(colour), row, column] = 9.0

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1, -1, -1)


def detect(*peaks: tuple[str, int, int, float, str]):
    detector = Detector(FakeNetwork(list(peaks)), LABELS)  # ty: ignore[invalid-argument-type]
    (detections,) = detector.detect([np.zeros((64, 64, 3), np.uint8)])
    return [(each.noun, each.colour, each.x, each.y) for each in detections]


def test_peaks_above_the_threshold_are_detections_with_the_colour_at_their_centre_by_score():
    detections = detect(("cat", 3, 12, 0.7, "red"), ("dog", 8, 1, 0.9, "blue"), ("car", 15, 15, 0.3, "red"))
    assert detections == [("dog", "blue", 1.5 / 16, 8.5 / 16), ("cat", "red", 12.5 / 16, 3.5 / 16)]


def test_two_separate_peaks_are_two_detections_and_neighbouring_ones_are_not():
    assert len(detect(("cat", 4, 4, 0.9, "red"), ("cat", 4, 11, 0.8, "red"))) == 2
    assert len(detect(("cat", 4, 4, 0.9, "red"), ("cat", 4, 5, 0.8, "red"))) == 1


def test_a_cell_shows_one_thing():
    assert [noun for noun, *_ in detect(("cat", 4, 4, 0.6, "red"), ("dog", 4, 4, 0.7, "red"))] == ["dog"]


def test_images_of_any_size_are_processed_in_batches():
    network = DetectorNetwork(LABELS).eval().requires_grad_(False)
    sizes = [(64, 64), (32, 48), (200, 100)] * 30
    images = [np.full((*size, 3), 128, np.uint8) for size in sizes]
    assert len(list(Detector(network, LABELS).detect(images))) == 90
    assert preprocess_image(images[1]).shape == (1, 3, 64, 64)


def test_the_packaged_detector_is_small_and_knows_the_objects_of_the_prompts():
    path = Path(prompt_following.__file__).parent / prompt_following.ASSETS_FOLDER / "detector.safetensors"
    assert path.stat().st_size <= 2_000_000
    detector, prompts = prompt_following.load_default_detector(), prompt_following.load_prompts()
    things = {thing for prompt in prompts for thing in prompt.objects}
    assert {thing.noun for thing in things} <= set(detector.labels.nouns)
    assert {thing.colour for thing in things} - {""} <= set(detector.labels.colours)
    assert set(detector.labels.bound) == set(prompt_following.TASKS)
    assert min(detector.labels.bound.values()) > 0.85
    (nothing,) = detector.detect([np.full((64, 64, 3), 255, np.uint8)])
    assert nothing == []


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "detector.safetensors"
    path.write_bytes(content)
    with raises_code("evaluate.bad_detector", path=path):
        load_detector(path)


def test_weights_that_do_not_fit_the_labels_are_refused(tmp_path: Path):
    path = tmp_path / "detector.safetensors"
    weights = {name: tensor.contiguous() for name, tensor in DetectorNetwork(LABELS).state_dict().items()}
    save_file(weights, path, {"labels": '{"nouns": ["cat"], "colours": [], "threshold": 0.4, "bound": {}}'})
    with raises_code("evaluate.bad_detector", path=path):
        load_detector(path)
    save_file(weights, path)
    with raises_code("evaluate.bad_detector", path=path):
        load_detector(path)
