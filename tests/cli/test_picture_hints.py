"""What the command line suggests next to people with pictures."""

from pathlib import Path
from types import ModuleType

import pytest

from genloom.api.generation import GenerationProgress
from genloom.api.workspace import Workspace as ApiWorkspace
from genloom.cli.commands.collect import _suggest_training
from genloom.cli.commands.train import _suggest_command
from genloom.generate.decode import Draft
from genloom.model.design import Design
from genloom.settings import to_toml
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace


@pytest.mark.parametrize(
    ("objective", "settings", "command"),
    [
        ("flow", {}, "generate"),
        ("vae_gan", {"grid": [16, 16]}, "evaluate"),
        ("variational", {"latent": 64}, "generate"),
    ],
)
def test_an_autoencoder_is_evaluated_and_not_sampled(
    tmp_path: Path, objective: str, settings: dict, command: str
) -> None:
    """The latent of a grid has no prior: what `generate` draws of it is noise."""
    design = Design("pixels", objective, "convolution", medium="image", objective_settings=settings)
    tables = {"name": "codes", "data": "tiles", "digest": "0", "batch_size": 1, **design.to_tables(), "plan": {}}
    (tmp_path / "job.toml").write_text(to_toml(tables))
    folder = ModelFolder("codes", 1, tmp_path, {})
    assert _suggest_command(Workspace(tmp_path), folder).split()[0] == command


def test_a_few_pictures_rather_tune_the_built_in_model(worlds: ModuleType, tmp_path: Path) -> None:
    data = worlds.create_image_dataset(Workspace(tmp_path), count=12)
    assert _suggest_training(ApiWorkspace(tmp_path), data.name).split()[2:4] == ["--from", "icons"]


def test_the_progress_of_several_batches_only_rises() -> None:
    draft = Draft((), (), (False, False), (0, 0))
    shares = [
        GenerationProgress(step, 10, 4, draft, False).compute_share(num_outputs)
        for num_outputs in (0, 2)
        for step in (1, 5, 10)
    ]
    assert shares == [0.05, 0.25, 0.5, 0.55, 0.75, 1.0]
