"""The pairs of a session of the arena: which there are, and which must still be made."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from genloom.api.models import Model
from genloom.api.workspace import Workspace
from genloom.rate.session import Trial, compute_session_id, schedule_trials
from genloom.server.access import User
from genloom.server.index import OutputIndex
from genloom.server.jobs.store import Job
from genloom.store import built_in

REPEATS = 0.1  # share of the pairs that are shown again in the other order
MAX_SUGGESTIONS = 24
_MAX_PROMPT_CHARS = 80


@dataclass(frozen=True)
class MissingOutputs:
    """Outputs of one model for a task."""

    model: str
    n: int
    seed: int
    nonces: tuple[int, ...]  # of those that are there already


@dataclass(frozen=True)
class MissingPair:
    task: str
    prompt: str
    outputs: tuple[MissingOutputs, ...]


@dataclass(frozen=True)
class PairPlan:
    """A session: its tasks, and the pairs of outputs by task, the first contender's first."""

    session: str
    tasks: Mapping[str, str]  # the prompt of each task
    pairs: Mapping[str, tuple[str, str]]
    missing: Sequence[MissingPair]

    def schedule(self, rater: str) -> list[Trial]:
        """Return the trials of a rater in their order."""
        return schedule_trials(self.session, list(self.tasks), rater, REPEATS)


def plan_pairs(workspace: Workspace, index: OutputIndex, job: Job) -> PairPlan:
    """Return what a job of kind arena is for."""
    params = job.params
    refs = [params["model"], params["against"] or params["model"]]
    digests = [workspace.model(ref).digest for ref in refs]
    settings = {**params["params"], "studio": True, "n": params["count"]}
    session = compute_session_id(digests, params["prompts"], settings)
    tasks = {
        f"{prompt} · {number + 1}" if number else prompt: prompt
        for prompt in params["prompts"]
        for number in range(params["count"])
    }
    made: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for row in index.find_by("arena", session):
        made.setdefault((row["task"], row["model"]), []).append(row)
    pairs, missing = {}, []
    for task, prompt in tasks.items():
        found = [made.get((task, ref), []) for ref in refs]
        is_same = refs[0] == refs[1]
        if is_same and len(found[0]) >= 2:
            pairs[task] = (str(found[0][0]["id"]), str(found[0][1]["id"]))
        elif not is_same and all(found):
            pairs[task] = (str(found[0][0]["id"]), str(found[1][0]["id"]))
        else:
            wanted = [(refs[0], 2, found[0])] if is_same else [(refs[i], 1, found[i]) for i in (0, 1) if not found[i]]
            outputs = [
                MissingOutputs(ref, n, derive_seed(params["seed"], task), tuple(int(str(row["seed"])) for row in rows))
                for ref, n, rows in wanted
            ]
            missing.append(MissingPair(task, prompt, tuple(outputs)))
    return PairPlan(session, tasks, pairs, missing)


def derive_seed(seed: int, task: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n{task}".encode("utf-8", "surrogatepass")).digest()[:6], "big")


def suggest_prompts(workspace: Workspace, index: OutputIndex, model: Model, user: User) -> list[str]:
    """Return prompts for a model: those that the user gave it, and examples; else beginnings of held-out documents."""
    owner = "" if user.is_local else user.id
    examples = built_in.read_example_prompts(model.name)
    if prompts := [*index.list_prompts(model.name, MAX_SUGGESTIONS, owner), *examples]:
        return list(dict.fromkeys(prompts))[:MAX_SUGGESTIONS]
    data = model.card.get("data") or {}
    try:
        stored = workspace.dataset(str(data.get("name", "")), str(data.get("digest", ""))).stored
        documents = list(islice(stored.sample_documents("val", MAX_SUGGESTIONS), MAX_SUGGESTIONS))
    except ValueError:
        return []
    texts = [shorten_prompt(str(item.meta.get("caption", item.value))) for item in documents]
    return [text for text in dict.fromkeys(texts) if text]


def shorten_prompt(text: str) -> str:
    """Return the beginning of a text, up to the end of a word."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _MAX_PROMPT_CHARS else line[:_MAX_PROMPT_CHARS].rpartition(" ")[0]
