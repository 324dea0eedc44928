"""The gain by `genloom prompts improve` on ten small tasks: right answers on held-out cases, before and after.

    python bench/assistant_prompts.py                          # ten tasks with SmolLM2
    python bench/assistant_prompts.py --tasks sentiment,date --budget 300
    python bench/assistant_prompts.py --random                 # control: shuffled answers

The peers are the first prompt as a person would write it, and the same prompt with eight random training examples, as
most people do it. Intervals are Wilson's at 95 %; "proved" is the decision of the gate on held-out cases.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prompt_tasks import Row, Task, build_tasks

import genloom as gl
from genloom.api.answering import answer_unstored
from genloom.api.models import Model
from genloom.assistant.prompts.cases import Case, add_examples
from genloom.assistant.prompts.prompt import FewShot, Prompt, Variable
from genloom.assistant.prompts.receipt import ImproveReceipt
from genloom.metrics.statistics import compute_wilson_interval
from genloom.text_format import format_table

NUM_RANDOM_EXAMPLES = 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default="", help="names, separated by commas; all without it")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--workspace", help="with the model; without it a temporary one, into which it is imported")
    parser.add_argument("--budget", type=int, default=330, help="answers of a task")
    parser.add_argument("--held-out", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=64, help="most cases of a task")
    parser.add_argument("--random", action="store_true", help="shuffle the answers among the cases")
    given = parser.parse_args(arguments)
    names = [name for name in given.tasks.split(",") if name]
    tasks = [task for task in build_tasks() if not names or task.name in names]
    with tempfile.TemporaryDirectory() as folder:
        workspace = gl.Workspace(given.workspace or folder)
        if given.workspace is None:
            workspace.import_model(given.model)
        model = workspace.model(given.model)
        rows = []
        for task in tasks:
            rows.append(measure_task(workspace, model, task, given))
            print(f"-- {' | '.join(rows[-1])}", flush=True)
    header = ("task", "n", "first prompt", "8 random examples", "improved", "gained", "lost", "result", "s", "by")
    print("\n".join(format_table([header, *rows])))


def measure_task(workspace: gl.Workspace, model: Model, task: Task, given: argparse.Namespace) -> tuple[str, ...]:
    """Improve one prompt and return its row of the table."""
    started = time.perf_counter()
    prompt = workspace.prompts.save(Prompt(task.prompt, variables={"text": Variable()}), task.name)
    cases = shuffle_answers(task.cases, given.seed) if given.random else task.cases
    cases = random.Random(given.seed).sample(cases, min(given.cases, len(cases)))
    receipt = workspace.prompts.improve(
        prompt,
        cases,
        model=model,
        judge=task.judge,
        budget=given.budget,
        held_out=given.held_out,
        seed=given.seed,
        progress=False,
    )
    print(f"\n-- {task.name}\n{receipt}", flush=True)
    seconds = time.perf_counter() - started
    peer = measure_random_examples(workspace, model, receipt, given.seed)
    found = receipt.improvement
    held_out = found.split.held_out
    if found.proof is None:
        current = measure_prompt(workspace, model, found.prompt, held_out)
        return (
            task.name, str(len(held_out)), format_share(current), format_share(peer), "-", "-", "-",
            "nothing better in training", f"{seconds:.0f}", "",
        )  # fmt: skip
    proof = found.proof
    return (
        task.name,
        str(len(held_out)),
        format_share(proof.current),
        format_share(peer),
        format_share(proof.challenger),
        str(proof.num_gained),
        str(proof.num_lost),
        "proved" if found.is_proved else "not proved",
        f"{seconds:.0f}",
        found.best.how,
    )


def measure_random_examples(
    workspace: gl.Workspace, model: Model, receipt: ImproveReceipt, seed: int
) -> Sequence[bool]:
    """Return which held-out cases the first prompt answers right with random training examples."""
    found = receipt.improvement
    known = [case for case in found.split.train if case.answer.strip()]
    if not known:
        return ()
    chosen = random.Random(seed).sample(known, min(NUM_RANDOM_EXAMPLES, len(known)))
    prompt = add_examples(found.prompt, chosen)
    prompt = replace(prompt, few_shot=FewShot(len(chosen), "first"))
    return measure_prompt(workspace, model, prompt, found.split.held_out)


def measure_prompt(workspace: gl.Workspace, model: Model, prompt: Prompt, cases: Sequence[Case]) -> Sequence[bool]:
    """Return which cases a prompt answers right."""
    conversations = [workspace.prompts.build_messages(prompt, case.given, model, prompt.settings) for case in cases]
    texts = answer_unstored(model, conversations, seed=0, stop=prompt.stop, **prompt.settings)
    return [case.is_right(text) for case, text in zip(cases, texts, strict=True)]


def shuffle_answers(rows: Sequence[Row], seed: int) -> list[dict[str, Any]]:
    """Return the cases with the answers, and checks, of others."""
    others = [{key: value for key, value in row.items() if key != "input"} for row in rows]
    random.Random(seed).shuffle(others)
    return [{"input": row["input"], **other} for row, other in zip(rows, others, strict=True)]


def format_share(right: Sequence[bool]) -> str:
    if not right:
        return "-"
    share = compute_wilson_interval(sum(right), len(right))
    return f"{100 * share.mean:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"


if __name__ == "__main__":
    main()
