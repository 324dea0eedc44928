"""Code that passes: programs of a model, judged in the sandbox and ranked, and gaps in files that are filled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.code_candidates import (
    CodeCandidates,
    generate_answers,
    judge_programs,
    rate_candidates,
    store_candidates,
)
from genloom.api.generation_requests import build_request
from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.assistant.code.filling import Gap
    from genloom.generate.engine import Request
    from genloom.model import Model as LoadedModel

DEFAULT_COUNT = 8
TOKENS_PER_LINE, MIN_GAP_TOKENS = 24, 32
FILL_METHODS = ("auto", "tokens", "prefix")


def write_code(
    model: "Model",
    prompt: str,
    *,
    tests: str | Path = "",
    n: int = DEFAULT_COUNT,
    language: str = "python",
    show_tests: bool = True,
    is_chat: bool | None = None,
    is_rated: bool = False,
    timeout: float = 5.0,
    memory: int = 256,
    seed: int | None = None,
    precision: str = "auto",
    is_marked: bool = True,
    progress: "bool | Callable[[float, str], None] | None" = None,
    **params: Any,
) -> CodeCandidates:
    """Write candidates of a Python function, judge them in the sandbox, and return them with the best first.

    Every candidate is a stored output whose record has its verdict. A candidate is compiled, and run with the examples
    in the prompt and with the tests; the same programs are merged.

    Parameters
    ----------
    prompt
        Description of the function, with its signature and examples if you like: "def median(values): the median,
        e.g. median([1, 3, 2]) == 2".
    tests
        Tests: a path, or source. Asserts, functions test_… without fixtures, and cases of unittest.
    n
        Number of candidates.
    language
        Language of the program; only python is judged.
    show_tests
        Whether the model reads the first three asserts of the tests.
    is_chat
        Whether the model is asked in its chat template. None: if it has learned one; else it continues a docstring.
    is_rated
        Whether each candidate is rated by its verdict, as the machine rater check-code, so that the model can learn.
    timeout
        Seconds that one candidate may run with all tests.
    memory
        MiB of memory that it may take.
    seed
        Random seed. None: a new one each time.
    precision
        float32, bfloat16, int8, int4 or auto.
    is_marked
        Whether the outputs are marked by the workspace's key.
    progress
        Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and a note.
    params
        Parameters of the sampler, e.g. max_tokens, temperature, top_p.

    Returns
    -------
    CodeCandidates
        The candidates, best first; `is_met` says whether the best passes everything.

    Raises
    ------
    GenloomError
        code.nothing_asked, code.unknown_language, code.model_unfit; code.unreadable_tests, code.bad_tests,
        code.no_tests; rate.no_sandbox: this machine cannot confine a process.
    """
    from genloom.assistant.code.extract import STOP, complete_program, extract_program
    from genloom.assistant.code.judge import Judge
    from genloom.assistant.code.statements import check_tests
    from genloom.assistant.code.task import build_docstring_prompt, build_question, read_task
    from genloom.generate.text.conversation import can_chat

    if not prompt.strip():
        raise GenloomError("code.nothing_asked")
    if language.lower() not in ("python", "py", "python3"):
        raise GenloomError("code.unknown_language", language=language)
    source = _read_tests(tests)
    task = read_task(prompt, source, show_tests)
    if source:
        check_tests(source)
    judge = Judge(task.examples, source, task.name, _build_limits(timeout, memory))
    loaded = _load(model, precision)
    is_chat = can_chat(loaded) if is_chat is None else is_chat
    asked = build_question(task) if is_chat else build_docstring_prompt(task)
    options = {"max_tokens": 320, "temperature": 0.2 if n == 1 else 0.6, "top_p": 0.95, "repetition_penalty": 1.0}
    options |= {name: value for name, value in params.items() if value is not None}
    request = build_request(loaded, [asked], n, seed, () if is_chat else STOP, {}, 0, options, is_chat)
    with model.workspace.open_callback("Writing code", progress) as report:
        answers = generate_answers(model.workspace, loaded, request, is_chat, is_marked, report)
        if is_chat:
            found = [extract_program(text, task.name) for text in answers.continuations]
        else:
            found = [complete_program(asked, text) for text in answers.continuations]
        verdicts = judge_programs(judge, [(each.program, each.reason) for each in found], report)
    codes = [each.program for each in found]
    candidates = store_candidates(model, loaded, answers, codes, codes, verdicts, [0.0] * len(codes))
    candidates.method = "chat" if is_chat else "docstring"
    candidates.notes = () if source or task.examples else ("without tests or examples, candidates are only compiled",)
    return rate_candidates(candidates, is_rated)


def fill_code(
    model: "Model",
    target: str,
    *,
    tests: str | Path = "",
    n: int = DEFAULT_COUNT,
    fill_by: str = "auto",
    is_rated: bool = False,
    timeout: float = 5.0,
    memory: int = 256,
    seed: int | None = None,
    precision: str = "auto",
    is_marked: bool = True,
    progress: "bool | Callable[[float, str], None] | None" = None,
    **params: Any,
) -> CodeCandidates:
    """Write lines of a file again, between those before and after them; the file itself is not changed.

    A model with tokens for filling in the middle reads both sides. Another one continues the lines before the gap, and
    that beginning of its text is taken which the lines after the gap follow best.

    Parameters
    ----------
    target
        File and lines, counted from 1: "utils.py:10-14".
    tests
        Tests of the whole file: a path, or source.
    fill_by
        tokens: both sides are read; prefix: the lines before the gap are continued; auto: the first if it can be.
    n, is_rated, timeout, memory, seed, precision, is_marked, progress, params
        As for `write_code`.

    Returns
    -------
    CodeCandidates
        The candidates, best first; `text` is the file with the best.

    Raises
    ------
    GenloomError
        code.bad_target, code.unreadable_file, code.lines_outside; code.no_fill_tokens, code.unknown_method; and those
        of `write_code`.
    """
    from genloom.assistant.code.filling import clean_middle, parse_target, read_gap
    from genloom.assistant.code.judge import Judge
    from genloom.assistant.code.statements import check_tests
    from genloom.capabilities import get_fill_tokens

    if fill_by not in FILL_METHODS:
        raise GenloomError("code.unknown_method", method=fill_by, known=", ".join(FILL_METHODS))
    path, first, last = parse_target(target)
    gap = read_gap(expand_home(path), first, last)
    source = _read_tests(tests)
    if source:
        check_tests(source)
    missing = gap.list_foreign_imports()
    judge = Judge(
        (), source, "", _build_limits(timeout, memory), is_compiling_only=bool(missing), trusts_docstrings=True
    )
    loaded = _load(model, precision)
    has_tokens = get_fill_tokens(loaded.codec) is not None
    if fill_by == "tokens" and not has_tokens:
        raise GenloomError("code.no_fill_tokens", model=model.ref)
    is_by_tokens = has_tokens and fill_by != "prefix"
    options = {"temperature": 0.2 if n == 1 else 0.6, "top_p": 0.95, "repetition_penalty": 1.0}
    options |= {name: value for name, value in params.items() if value is not None}
    request, unread = _build_fill_request(loaded, gap, n, seed, options, is_by_tokens)
    with model.workspace.open_callback("Filling", progress) as report:
        answers = generate_answers(model.workspace, loaded, request, False, is_marked, report)
        if is_by_tokens:
            middles = [clean_middle(gap, text) for text in answers.continuations]
            likelihoods = [0.0] * len(middles)
        else:
            middles, likelihoods = _choose_middles(loaded, gap, answers.continuations)
        programs = [gap.fill(middle) for middle in middles]
        reasons = ["" if middle.strip() else "nothing was written" for middle in middles]
        pairs = [("" if reason else program, reason) for program, reason in zip(programs, reasons, strict=True)]
        verdicts = judge_programs(judge, pairs, report)
    candidates = store_candidates(model, loaded, answers, middles, programs, verdicts, likelihoods)
    candidates.gap, candidates.method = gap, "tokens" if is_by_tokens else "prefix"
    candidates.notes = _describe_limits(gap, missing, is_by_tokens, unread)
    return rate_candidates(candidates, is_rated)


def write_code_in(workspace: "Workspace", prompt: str, *, model: "Model | str" = "", **options: Any) -> CodeCandidates:
    """Write candidates of a function with a model, "" being the newest that can chat; see `Model.write_code`."""
    from genloom.assistant.models import choose_chat_model

    chosen = workspace.model(model) if model else choose_chat_model(workspace)
    return write_code(chosen, prompt, **options)


def fill_code_in(workspace: "Workspace", target: str, *, model: "Model | str" = "", **options: Any) -> CodeCandidates:
    """Fill a gap; "" is the newest model that was trained on gaps, else that can chat. See `Model.fill_code`."""
    return fill_code(workspace.model(model) if model else choose_fill_model(workspace), target, **options)


def choose_fill_model(workspace: "Workspace") -> "Model":
    """Return the newest active model that was trained here with tokens for filling, else the newest that can chat."""
    import tomllib

    from genloom.assistant.models import choose_chat_model
    from genloom.store.files import read_beginning

    def is_trained(folder: Any) -> bool:
        try:
            job = tomllib.loads(read_beginning(folder.folder / "job.toml", 1 << 20).decode())
        except (OSError, ValueError):
            return False
        return bool(job.get("fim_rate"))

    folders = [folder for folder in workspace.store.list_active_models() if is_trained(folder)]
    if newest := max(folders, key=lambda folder: folder.created, default=None):
        return workspace.model(newest.ref)
    return choose_chat_model(workspace)


def _read_tests(tests: str | Path) -> str:
    from genloom.assistant.code.statements import read_tests

    return read_tests(expand_home(tests)) if isinstance(tests, Path) else tests


def _build_limits(timeout: float, memory: int) -> Any:
    from genloom.rate.checks.code import Config

    checked = Config("1", timeout, memory)  # refuses impossible limits
    from genloom.rate.sandbox import SandboxLimits

    return SandboxLimits(checked.timeout_seconds, checked.memory_mib)


def _load(model: "Model", precision: str) -> "LoadedModel":
    from genloom.generate import engine

    loaded = model.load((), precision)
    if not engine.can_stream_text(loaded):
        raise GenloomError("code.model_unfit", model=model.ref)
    return loaded


def _build_fill_request(
    loaded: "LoadedModel", gap: "Gap", n: int, seed: int | None, options: Mapping[str, Any], is_by_tokens: bool
) -> "tuple[Request, int]":
    """Return the request for the middles of a gap, and how many tokens of the file are not read."""
    from genloom.assistant.code.filling import encode_prompt
    from genloom.capabilities import get_fill_tokens

    context_length = loaded.design.context_length
    num_tokens = MIN_GAP_TOKENS + TOKENS_PER_LINE * (gap.last - gap.first + 1)
    options = {"max_tokens": max(min(num_tokens, context_length // 2), 1), **options}
    if not is_by_tokens:
        return build_request(loaded, [gap.prefix.removesuffix("\n")], n, seed, (), {}, 0, options), 0
    tokens = get_fill_tokens(loaded.codec)
    assert tokens is not None, "the model has tokens for filling"
    ids, unread = encode_prompt(loaded.codec, gap, int(options["max_tokens"]), context_length)
    request = build_request(loaded, [gap.prompt], n, seed, (), {}, 0, options)
    return replace(request, prompt_ids=(tuple(ids.tolist()),) * n, eos_ids=tokens.ends), unread


def _choose_middles(loaded: "LoadedModel", gap: "Gap", continuations: Sequence[str]) -> tuple[list[str], list[float]]:
    """Return the beginning of each continuation that the suffix follows best, and how well it does."""
    from genloom.assistant.code.filling import continue_lines, list_cuts, score_suffixes

    cuts = [list_cuts(gap, continue_lines(gap, text)) for text in continuations]
    flat = list(dict.fromkeys(middle for each in cuts for middle in each))
    scores = dict(zip(flat, score_suffixes(loaded, gap, flat), strict=True))
    middles = [max(each, key=scores.__getitem__) if each else "" for each in cuts]
    return middles, [scores.get(middle, float("-inf")) for middle in middles]


def _describe_limits(gap: "Gap", missing: Sequence[str], is_by_tokens: bool, unread: int) -> tuple[str, ...]:
    notes: list[str] = []
    if problem := gap.find_problem():
        notes.append(f"{gap.path} does not parse around the gap ({problem}), so that no candidate can compile")
    if missing:
        names = ", ".join(missing)
        notes.append(f"{gap.path} imports {names}, which the sandbox lacks: candidates are only compiled")
    if not is_by_tokens:
        notes.append("the model reads only the lines before the gap; those after it choose among what it writes")
    if unread:
        notes.append(f"{format_count(unread, 'token')} of {gap.path} are beyond the context and were not read")
    return tuple(notes)
