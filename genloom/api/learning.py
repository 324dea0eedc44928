"""Learning from ratings, and unlearning of ratings and documents."""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genloom.api import progress as progress_bars
from genloom.api.arguments import drop_progress, to_list, to_overrides
from genloom.api.consent import check_model_consent
from genloom.errors import GenloomError
from genloom.running_time import read_running_seconds

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.receipts import Receipt
    from genloom.learn.round import LearnResult
    from genloom.learn.unlearn_document import UnlearnDocumentResult
    from genloom.learn.unlearn_ratings import UnlearnRatingsResult
    from genloom.train.events import Event


GOAL_CHECK = "goal"  # the check that reads goals as people write them


def learn(
    model: "Model",
    *,
    minutes: float = 0.0,
    steps: int = 0,
    method: str = "auto",
    check: str = "",
    reward: str | Sequence[str] = (),
    goal: str = "",
    calls: int = 0,
    best_of: int = 0,
    prompts: Sequence[str] = (),
    max_eval_prompts: int = 0,
    trial: bool = False,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    devices: int = 0,
    progress: bool | None = None,
) -> "Receipt":
    """Learn from ratings; the new version is activated only if held-out ratings prove it better.

    The active version of the model learns. Called again with the same arguments, an interrupted round continues.

    Parameters
    ----------
    minutes
        Time budget of the round: about half for training, the rest for measuring. 0: 5, if no `steps` are given.
    steps
        Exact number of steps.
    method
        Method. dpo: pairs. kto: single thumbs up/down. weighted: SFT weighted by rating. grpo: sample new answers to
        the rated prompts and reinforce those that score above their group. none: no training, only what best-of-n
        gains. policy, with a goal, and reinvent: without ratings, from the scores of checks. auto: policy with a
        goal, else dpo or kto, by the ratings.
    check
        Machine check that also compares the held-out answers, e.g. length:max_length=1 or "regex:pattern=[!]".
    reward
        Rewards of method grpo: "model", or checks. (): "model". Of reinvent: checks.
    goal
        Goals of method policy, in the words of the check "goal" of the medium, e.g. "logp=2..3 qed>0.7".
    calls
        Maximum number of outputs that method policy scores. 0: as many as the time allows.
    best_of
        Number of answers of the active version for a best-of-n baseline, chosen by the reward model. 0: not measured.
    prompts
        Extra evaluation prompts for the safeguards and, with `check`, for a tighter win rate.
    max_eval_prompts
        Maximum number of held-out prompts that both versions answer. 0: the default.
    trial
        Whether to learn from fewer ratings than a proof needs. The new version can be tried; without a proof it is not
        activated.
    overrides
        Job settings by their path, e.g. {"plan.warmup": 100}.
    seed
        Random seed.
    devices
        Number of GPUs, or of processes on a machine without, that train together on pairs or thumbs. 0: 1.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.

    Returns
    -------
    Receipt
        The change, its confidence and its cost; `receipt.model` is the version now in use.

    Raises
    ------
    GenloomError
        rate.too_few_preferences: how many are missing; learn.too_few_eval_prompts.
    """
    events = iter_learn(**drop_progress(locals()))
    return to_receipt(model, progress_bars.run_events(events, "Learning", model.workspace.is_shown(progress)))


def iter_learn(
    model: "Model",
    *,
    minutes: float = 0.0,
    steps: int = 0,
    method: str = "auto",
    check: str = "",
    reward: str | Sequence[str] = (),
    goal: str = "",
    calls: int = 0,
    best_of: int = 0,
    prompts: Sequence[str] = (),
    max_eval_prompts: int = 0,
    trial: bool = False,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    devices: int = 0,
) -> "Generator[Event | LearnResult]":
    """Yield the events of a round of learning; takes the arguments of `learn`. `to_receipt` reads the last one."""
    started_at = read_running_seconds()  # the imports are part of the minutes
    from genloom.learn import scores
    from genloom.learn.rl_env import REWARD_MODEL
    from genloom.learn.round import MAX_EVAL_PROMPTS, LearnRequest, learn
    from genloom.old_names import upgrade_method
    from genloom.train.planning.auto_config import Budget
    from genloom.train.saved_steps import report_saved_steps

    goals = [f"{GOAL_CHECK}:{goal}"] if goal else []
    is_scored = method == scores.METHOD or (bool(goal) and method in ("auto", "policy"))
    if (goal or calls) and not is_scored:
        raise GenloomError("learn.goal_without_policy", method=method)
    if minutes and steps:
        raise GenloomError("learn.several_lengths")
    if reward and not is_scored and upgrade_method(method) != "grpo":
        raise GenloomError("learn.reward_without_method", method=method)
    check_model_consent(model.workspace, model.ref, "training")
    request = LearnRequest(
        model.name,
        scores.METHOD if is_scored else upgrade_method(method),
        check,
        extra_prompts=tuple(prompts),
        rewards=(*to_list(reward), *goals) or (REWARD_MODEL,),
        calls=calls,
        best_of=best_of,
        budget=Budget(minutes=minutes, steps=steps, seed=seed, started_at=started_at),
        overrides=to_overrides(overrides),
        max_eval_prompts=max_eval_prompts or MAX_EVAL_PROMPTS,
        devices=devices,
        is_trial=trial,
    )
    run_round = scores.learn_from_scores if is_scored else learn
    events = run_round(model.workspace.store, model.workspace.ledger, request)
    return report_saved_steps(model.workspace.store, events)


def to_receipt(model: "Model", result: "Event | LearnResult") -> "Receipt":
    """Return the receipt of the last event of `iter_learn`."""
    from genloom.api.receipts import Receipt
    from genloom.learn.round import LearnResult

    assert isinstance(result, LearnResult), "a round ends with its result"
    return Receipt(model.workspace, result.receipt, result.digest, result.run)


def forget(
    model, *, rater: str = "", item: str = "", progress: bool | None = None
) -> "UnlearnRatingsResult | UnlearnDocumentResult":
    """Unlearn the ratings of a rater or about an output, or a training document, with proof.

    Parameters
    ----------
    rater
        Rater whose ratings are forgotten.
    item
        Output whose ratings are forgotten (id, or SHA-256 of its file), or training document (id in the data set).
    progress
        Whether a bar is shown on standard error. None: in notebooks only.

    Returns
    -------
    UnlearnRatingsResult or UnlearnDocumentResult
        The new version, the affected versions, and the digest that two runs have in common.

    Raises
    ------
    GenloomError
        api.forget_target: neither or both are named; learn.no_ratings_of, learn.unknown_item,
        learn.document_not_used: there is nothing to forget.
    """
    events: Generator[Any] = iter_forget(model, rater=rater, item=item)
    return progress_bars.run_events(events, "Learning", model.workspace.is_shown(progress))


def iter_forget(
    model, *, rater: str = "", item: str = ""
) -> "Generator[Event | UnlearnRatingsResult] | Generator[Event | UnlearnDocumentResult]":
    """Yield the events of `forget`, last its result."""
    from genloom.learn.unlearn_document import is_known_document, unlearn_document
    from genloom.learn.unlearn_ratings import unlearn_ratings

    if bool(rater) == bool(item):
        raise GenloomError("api.forget_target")
    store, ledger = model.workspace.store, model.workspace.ledger
    if item and is_known_document(store, item):
        return unlearn_document(store, ledger, model.name, item)
    return unlearn_ratings(store, ledger, model.name, rater, item)
