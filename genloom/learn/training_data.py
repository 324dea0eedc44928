"""The training data of a round: the preferences without noisy labels, their splits, and the method."""

from collections.abc import Sequence
from dataclasses import replace

from genloom.learn.eval_prompts import build_eval_prompts, build_preference_dataset
from genloom.learn.label_noise import MISLABELLED_REASON, find_mislabelled
from genloom.learn.reward_model import RewardModel, build_reward_model, extract_pair_features
from genloom.learn.rl_env import build_rl_env
from genloom.model import Model
from genloom.rate.preferences import Preferences
from genloom.store.workspace import Workspace
from genloom.train.preference.config import PreferenceConfig
from genloom.train.preference.dataset import PreferenceDataset
from genloom.train.preference.rollouts import RolloutEnvironment


def choose_method(preferences: Preferences, champion: Model) -> str:
    """Return the method for the kind of ratings; a model with several phases, such as a GAN, has no likelihood."""
    if len(champion.objective.phases) > 1:
        return "weighted"
    return "dpo" if len(preferences.pairs) >= len(preferences.unpaired) else "kto"


def split_preferences(preferences: Preferences, method: str) -> tuple[Preferences, Preferences]:
    """Split preferences into training and held-out ones; DPO uses pairs only."""

    def select_split(split_name: str) -> Preferences:
        return replace(
            preferences,
            pairs=tuple(pair for pair in preferences.pairs if pair.split == split_name),
            unpaired=tuple(each for each in preferences.unpaired if each.split == split_name and method != "dpo"),
        )

    return select_split("train"), select_split("val")


def list_used_events(preferences: Preferences, method: str) -> list[str]:
    """List the ledger entries that a round uses: to train, to filter noisy labels, and as held-out evidence."""
    splits = split_preferences(preferences, method)
    return sorted({event for split in splits for each in (*split.pairs, *split.unpaired) for event in each.events})


def fit_reward_model(
    workspace: Workspace, champion: Model, preferences: Preferences, config: PreferenceConfig
) -> tuple[Preferences, Preferences, Preferences, RewardModel | None]:
    """Return the preferences, their training and held-out splits, and a reward model fitted to them.

    Noisy labels are removed from the training split and listed among the ratings without effect.
    """
    train_preferences, held_preferences = split_preferences(preferences, config.method)
    pair_features = extract_pair_features(workspace, champion, preferences.pairs)
    train_features = pair_features.select_split("train") if pair_features else None
    held_features = pair_features.select_split("val") if pair_features else None
    reward_model = build_reward_model(champion, train_features, held_features)
    if config.should_filter_noisy_labels and config.method != "grpo":  # which only uses the prompts
        mislabelled = find_mislabelled(train_features)
        train_preferences = replace(
            train_preferences, pairs=tuple(pair for pair in train_preferences.pairs if pair not in mislabelled)
        )
        reasons = {event: MISLABELLED_REASON for pair in mislabelled for event in pair.events}
        preferences = replace(preferences, unused={**preferences.unused, **reasons})
    return preferences, train_preferences, held_preferences, reward_model


def build_training_data(
    workspace: Workspace,
    champion: Model,
    train_preferences: Preferences,
    method: str,
    rewards: Sequence[str],
    reward_model: RewardModel | None,
) -> PreferenceDataset | RolloutEnvironment:
    """Build the training data of a method: rated answers, or an environment of rated prompts."""
    if method != "grpo":
        return build_preference_dataset(workspace, champion, train_preferences.pairs, train_preferences.unpaired)
    outputs = [each.outputs[0] for each in (*train_preferences.pairs, *train_preferences.unpaired)]
    return build_rl_env(champion, build_eval_prompts(workspace, champion, outputs, len(outputs)), rewards, reward_model)
