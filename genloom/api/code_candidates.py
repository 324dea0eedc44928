"""Candidates of code: generated, judged, merged, stored with their verdicts, and ranked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genloom.api.generation import GenerationProgress, iter_batch
from genloom.api.notebook import Listing
from genloom.api.outputs import Output

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.assistant.code.filling import Gap
    from genloom.assistant.code.judge import Judge, Verdict
    from genloom.generate.engine import Request
    from genloom.model import Model as LoadedModel

RATER = "check-code"
GENERATION_SHARE = 0.8  # of the work, as the bar shows it


@dataclass(frozen=True)
class CodeCandidate:
    """A program, or the text of a gap, with its verdict; `outputs` are the answers that are this program."""

    code: str
    verdict: "Verdict"
    outputs: tuple[Output, ...]

    @property
    def output(self) -> Output:
        """The first answer that is this program."""
        return self.outputs[0]

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of candidates."""
        return {
            "outputs": [output.id for output in self.outputs],
            "code": self.code,
            "verdict": self.verdict.summary,
            **self.verdict.to_json(),
        }


class CodeCandidates(Listing[CodeCandidate]):
    """Candidates, best first."""

    method: str = ""  # how they were asked for: "chat", "docstring", "tokens" or "prefix"
    notes: tuple[str, ...] = ()  # what limits the verdicts
    gap: "Gap | None" = None  # that they fill

    @property
    def best(self) -> CodeCandidate:
        return self[0]

    @property
    def is_met(self) -> bool:
        """Whether the best passes everything that it was judged by."""
        return bool(self) and self[0].verdict.is_met

    @property
    def text(self) -> str:
        """The best program; of a gap the whole file, with the line ends of the file."""
        if self.gap is None:
            return self.best.code
        return self.gap.fill(self.best.code).replace("\n", self.gap.newline)


@dataclass(frozen=True)
class Answers:
    """The answers of a model: batches as they ran, and the continuations in order."""

    batches: list[tuple["Request", Any, list[dict[str, Any]]]] = field(default_factory=list)

    @property
    def continuations(self) -> list[str]:
        return [str(text) for _, draft, _ in self.batches for text in draft.continuations]


def generate_answers(
    workspace: "Workspace",
    loaded: "LoadedModel",
    request: "Request",
    is_chat: bool,
    is_marked: bool,
    report: Callable[[float, str], None],
) -> Answers:
    """Generate the request batch by batch; nothing is stored yet."""
    from genloom.api.policy import apply_policy, list_prompt_texts
    from genloom.generate import engine

    apply_policy(workspace, list_prompt_texts(loaded, request), loaded.ref)
    answers, count = Answers(), len(request.prompts)
    for batch in engine.split_batches(request, engine.fit_batch_size(loaded)):
        done = sum(len(each.prompts) for each, _, _ in answers.batches)
        work = iter_batch(workspace, loaded, batch, GenerationProgress(0, 1, count, None, False), is_chat, is_marked)
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                answers.batches.append(end.value)
                break
            share = (done + len(batch.prompts) * event.step / event.total) / count
            report(GENERATION_SHARE * share, event.note)
    return answers


def judge_programs(
    judge: "Judge", programs: Sequence[tuple[str, str]], report: Callable[[float, str], None]
) -> "list[Verdict]":
    """Return the verdict on each program, or on the reason why there is none; the same program is run once."""
    from genloom.assistant.code.judge import Verdict
    from genloom.assistant.code.python_source import compute_key

    verdicts: dict[str, Verdict] = {}
    results: list[Verdict] = []
    for number, (program, reason) in enumerate(programs, start=1):
        if not program:
            results.append(Verdict(False, errors=(reason or "nothing was written",)))
            continue
        key = compute_key(program)
        if key not in verdicts:
            report(GENERATION_SHARE + (1 - GENERATION_SHARE) * number / len(programs), "judging")
            verdicts[key] = judge(program)
        results.append(verdicts[key])
    return results


def store_candidates(
    model: "Model",
    loaded: "LoadedModel",
    answers: Answers,
    codes: Sequence[str],
    programs: Sequence[str],
    verdicts: "Sequence[Verdict]",
    likelihoods: Sequence[float],
) -> CodeCandidates:
    """Store every answer with its verdict, and return the candidates that they are, best first."""
    from genloom.assistant.code.ranking import JudgedProgram, merge_programs, rank_candidates
    from genloom.generate import output_records

    outputs: list[Output] = []
    for batch, draft, notes in answers.batches:
        chosen = verdicts[len(outputs) : len(outputs) + len(batch.prompts)]
        rows = [
            {**note, "judgement": {"check": "code", **verdict.to_json()}}
            for note, verdict in zip(notes, chosen, strict=True)
        ]
        ids = output_records.store_outputs(model.workspace.store, loaded, batch, draft, row_metadata=rows)
        outputs += [model.workspace.output(output_id) for output_id in ids]
    groups = [
        JudgedProgram(codes[group[0]], verdicts[group[0]], group, max(likelihoods[row] for row in group))
        for group in merge_programs(programs)
    ]
    return CodeCandidates(
        CodeCandidate(each.code, each.verdict, tuple(outputs[row] for row in each.sources))
        for each in rank_candidates(groups)
    )


def rate_candidates(candidates: CodeCandidates, is_rated: bool) -> CodeCandidates:
    """Rate the outputs by their verdicts, if that is wanted, and return the candidates."""
    for candidate in candidates if is_rated else ():
        for output in candidate.outputs:
            output.rate(up=candidate.verdict.is_met, rater=RATER, is_machine=True)
    return candidates
