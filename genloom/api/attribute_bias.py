"""Reports on the attributes of outputs by group, for media whose values have features."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.store import files, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genloom.api.models import Model
    from genloom.trust.attribute_bias import AttributeReport

MAX_OUTPUTS = 10_000
REPORT_FILE = "attributes.json"


@dataclass(frozen=True)
class AttributeBias:
    """The report on attributes by group; `print` shows it."""

    report: "AttributeReport"
    folder: Path  # where `save` writes by default

    @property
    def lines(self) -> "Sequence[str]":
        return self.report.lines

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return self.report.to_json()

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the report as attributes.json to a folder (None: the workspace's reports of the model)."""
        path = (self.folder if folder is None else files.expand_home(folder)) / REPORT_FILE
        manifest.write_record(path, self.to_json())
        return path

    def __str__(self) -> str:
        return "\n".join(self.lines)


def measure_attribute_bias(
    model: "Model", groups: str | Path, *, count: int = 8, seed: int = 0, precision: str = "auto"
) -> AttributeBias:
    """Measure which attributes the outputs have whose prompts differ only in the group that they name.

    Parameters
    ----------
    groups
        File of groups, prompts and attributes with examples (docs/trust.md shows one).
    count
        Number of outputs for each prompt and group. All groups get the same noise.
    seed
        Random seed.
    precision
        float32, bfloat16, int8, int4 or auto.

    Returns
    -------
    AttributeBias
        The share of each attribute by group, with intervals. Nothing is stored.

    Raises
    ------
    GenloomError
        trust.bad_groups: the file is not as it has to be; trust.no_features: the medium has no features to compare;
        trust.too_many_outputs.
    """
    from genloom import plugins
    from genloom.api.policy import apply_policy
    from genloom.evaluate.run import get_report_folder
    from genloom.generate import engine, sampling_params
    from genloom.media.abilities import get_ability
    from genloom.media.opening import open_limited
    from genloom.trust.attribute_bias import measure_attributes, read_group_prompts
    from genloom.types import is_open_sequence

    loaded = model.load((), precision)
    medium = plugins.find_part("medium", loaded.design.medium)
    name = get_ability(medium, "feature_extractor")
    if not name:
        raise GenloomError("trust.no_features", medium=medium.kind)
    prompts = read_group_prompts(files.expand_home(groups), medium.suffixes)
    if count < 1 or count * len(prompts.texts) > MAX_OUTPUTS:
        raise GenloomError("trust.too_many_outputs", count=count * len(prompts.texts), maximum=MAX_OUTPUTS)
    apply_policy(model.workspace, prompts.texts, model.ref)
    extract = plugins.find_part("features", name).build_extractor()
    examples = {
        attribute: extract([open_limited(medium.open, path).value for path in paths])
        for attribute, paths in prompts.examples.items()
    }
    params = sampling_params.add_suggested_params(loaded, {})
    request = engine.build_request(prompts.texts, count, seed, (), params, is_open_sequence(loaded.codec.space))
    values = [
        value
        for batch in engine.split_batches(request, engine.fit_batch_size(loaded))
        for value in engine.run_request(loaded, batch).values
    ]
    facts = (model.ref, model.digest, medium.kind)
    report = measure_attributes(facts, prompts, examples, extract(values), count)
    return AttributeBias(report, get_report_folder(model.workspace.store, loaded))
