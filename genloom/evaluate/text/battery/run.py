"""Run the battery on a text model: likelihoods of continuations, and answers to instructions if it can chat."""

from collections.abc import Sequence

from genloom.evaluate.battery import BatteryContext, BatteryResult
from genloom.evaluate.scores import Score
from genloom.evaluate.text.battery.continuation_scorer import build_scorer
from genloom.evaluate.text.battery.score import AnswerFn, score_task
from genloom.generate import engine
from genloom.generate.text.conversation import build_chat_batch, get_chat_codec
from genloom.model import Model
from genloom.types import Message

_MAX_ANSWER_TOKENS = 96  # the instructions ask for short answers


def run_battery(context: BatteryContext) -> BatteryResult:
    """Score the tasks; instructions are skipped, with a note, if the model cannot chat."""
    model, progress = context.model, context.progress
    scorer, answer_fn, scores = build_scorer(model), build_answer_fn(model), list[Score]()
    for task in context.tasks:
        if task == "instructions" and answer_fn is None:
            progress.print_note(f"{model.ref} has no chat template; the task instructions is skipped")
            continue
        progress.print_note(f"{model.ref}: {task}")
        scores += score_task(task, scorer, answer_fn, context.max_items)
    return BatteryResult(scores)


def build_answer_fn(model: Model) -> AnswerFn | None:
    """Return a function that answers each question greedily in its own conversation; None if the model cannot chat."""
    try:
        get_chat_codec(model)
    except ValueError:
        return None

    def answer(prompts: Sequence[str]) -> list[str]:
        request, _ = build_chat_batch(
            model,
            [[Message("user", prompt)] for prompt in prompts],
            0,
            {"temperature": 0.0, "max_tokens": _MAX_ANSWER_TOKENS},
        )
        return [
            text for batch in engine.split_batches(request) for text in engine.run_request(model, batch).continuations
        ]

    return answer
