"""Features of outputs for the reward model: hidden states of the champion or a feature extractor, and style.

Shape letters: N outputs, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom import plugins
from genloom.generate import engine
from genloom.learn.eval_prompts import EvalPrompt, encode_outputs
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.rate.outputs import load_output
from genloom.store.workspace import Workspace
from genloom.train.preference import reward_head
from genloom.train.preference.dataset import TokenRows

STYLE_WEIGHT = 4.0  # relative to all features of a network; chosen on three preferences about images (docs/log.md)


@dataclass(frozen=True)
class Features:
    """Feature vectors, and the groups they consist of."""

    features_NF: np.ndarray
    groups: reward_head.FeatureGroups


def has_features(model: Model) -> bool:
    """Return whether the model's network gives hidden states, or its medium has a feature extractor."""
    return (
        reward_head.can_fit_reward_head(model)
        if engine.is_open_sequence(model.codec.space)
        else bool(get_ability(get_medium(model), "feature_extractor"))
    )


def extract_output_features(workspace: Workspace, model: Model, outputs: Sequence[str]) -> Features:
    """Extract features of stored outputs."""
    values = [load_output(*workspace.get_output(output)) for output in outputs]
    if not engine.is_open_sequence(model.codec.space):
        return extract_value_features(model, values)
    encoded_outputs = encode_outputs(workspace, model, outputs)
    prompts, answers = encoded_outputs.select_prompts(outputs), encoded_outputs.select_answers(outputs)
    return extract_text_features(model, prompts, answers, values)


def extract_answer_features(model: Model, eval_prompts: Sequence[EvalPrompt], answers: Sequence[Any]) -> Features:
    """Extract features of a model's answers."""
    if not engine.is_open_sequence(model.codec.space):
        return extract_value_features(model, answers)
    answer_ids = tuple(tuple(int(n) for n in model.codec.encode(text)) or (0,) for text in answers)
    return extract_text_features(
        model, tuple(eval_prompt.prompt_ids for eval_prompt in eval_prompts), answer_ids, answers
    )


def extract_text_features(model: Model, prompts: TokenRows, answers: TokenRows, texts: Sequence[Any]) -> Features:
    """Extract the model's hidden states over the text, and its style."""
    return append_style(model, reward_head.extract_features(model, prompts, answers), texts)


def extract_value_features(model: Model, values: Sequence[Any]) -> Features:
    """Extract the features of the medium's feature extractor, and the style of each value."""
    feature_part = plugins.find_part("features", get_ability(get_medium(model), "feature_extractor"))
    return append_style(model, feature_part.build_extractor()(values), values)


def append_style(model: Model, features_NF: np.ndarray, values: Sequence[Any]) -> Features:
    """Append the medium's style features, if it has any: what people notice first, and often prefer by."""
    extract_style_features = get_ability(get_medium(model), "extract_style_features")
    if extract_style_features is None:
        return Features(features_NF.astype(np.float64), ())
    style_NF = np.stack([extract_style_features(value) for value in values])
    return Features(
        np.concatenate([features_NF, style_NF], 1), ((features_NF.shape[1], 1.0), (style_NF.shape[1], STYLE_WEIGHT))
    )


def get_medium(model: Model) -> Any:
    return plugins.find_part("medium", model.design.medium)
