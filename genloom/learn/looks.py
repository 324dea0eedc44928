"""What a reward model sees of outputs: how the champion or a trained eye reads them, and their style.

Shape letters: N outputs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom import plugins
from genloom.generate import engine
from genloom.learn.asked import Asked, rows_of
from genloom.model import Model
from genloom.rate.values import value_of
from genloom.store.workspace import Workspace
from genloom.train import judging
from genloom.train.lessons import Rows

STYLE = 4.0  # times the say of all that is read out of a network; chosen on three tastes in pictures (docs/log.md)


@dataclass(frozen=True)
class Looked:
    """Groups of features side by side."""

    features_NF: np.ndarray
    groups: judging.Groups


def can_look(model: Model) -> bool:
    """Whether the model's network shows its states, or its medium has features that whole things are compared in."""
    return judging.can_judge(model) if engine.written(model.codec.space) else hasattr(medium_of(model), "features")


def outputs_looked(workspace: Workspace, model: Model, outputs: Sequence[str]) -> Looked:
    """At outputs that are stored."""
    values = [value_of(*workspace.output(output)) for output in outputs]
    if not engine.written(model.codec.space):
        return things_looked(model, values)
    known, _ = rows_of(workspace, model, outputs)
    prompts, answers = zip(*(known[output] for output in outputs), strict=True)
    return texts_looked(model, prompts, answers, values)


def answers_looked(model: Model, asked: Sequence[Asked], said: Sequence[Any]) -> Looked:
    """At what a model answered."""
    if not engine.written(model.codec.space):
        return things_looked(model, said)
    rows = tuple(tuple(int(n) for n in model.codec.encode(text)) or (0,) for text in said)
    return texts_looked(model, tuple(each.before for each in asked), rows, said)


def texts_looked(model: Model, prompts: Rows, answers: Rows, texts: Sequence[Any]) -> Looked:
    """The model's own states over what was written, and the style of that."""
    return beside_style(model, judging.features(model, prompts, answers), texts)


def things_looked(model: Model, values: Sequence[Any]) -> Looked:
    """The features that things of this medium are compared in, and the style of each."""
    features = plugins.find("features", medium_of(model).features)
    return beside_style(model, features.extractor()(values), values)


def beside_style(model: Model, features_NF: np.ndarray, values: Sequence[Any]) -> Looked:
    """A medium may tell what anybody sees of its things at a glance, which is often what a taste is about."""
    if not hasattr(medium_of(model), "style"):
        return Looked(features_NF.astype(np.float64), ())
    style_NF = np.stack([medium_of(model).style(value) for value in values])
    return Looked(np.concatenate([features_NF, style_NF], 1), ((features_NF.shape[1], 1.0), (style_NF.shape[1], STYLE)))


def medium_of(model: Model) -> Any:
    return plugins.find("medium", model.design.medium)
