"""The prompt library of a workspace: prompts with versions and tests, answered, and improved on examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.outputs import Outputs
from genloom.api.prompt_tests import TestReport, TestResult
from genloom.errors import GenloomError
from genloom.store.files import expand_home, is_folder_path, write_atomic
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.assistant.prompts.cases import Case
    from genloom.assistant.prompts.library import PromptLibrary
    from genloom.assistant.prompts.prompt import Prompt
    from genloom.assistant.prompts.receipt import ImproveReceipt
    from genloom.assistant.prompts.template import Value
    from genloom.capabilities import ChatCodec
    from genloom.store.recycle_bin import BinEntry
    from genloom.types import Message

Given = Mapping[str, "Value"]


@check_arguments
class Prompts:
    """The prompts of a workspace and those of the package; `ws.prompts`."""

    def __init__(self, workspace: "Workspace"):
        self.workspace = workspace

    @property
    def library(self) -> "PromptLibrary":
        from genloom.assistant.prompts.library import PromptLibrary

        return PromptLibrary(self.workspace.folder)

    def __iter__(self) -> "Iterator[Prompt]":
        return iter(self.library.list_prompts())

    def get(self, ref: str) -> "Prompt":
        """Return the prompt `email` (its newest version), `email/2` (`email/0` is the package's) or `./email.toml`.

        Raises
        ------
        GenloomError
            store.unknown_name and its like, assistant.no_such_prompt_version; core.unreadable_file,
            assistant.bad_prompt_file: the file is damaged.
        """
        return self.library.get(ref)

    def new(
        self,
        name: str,
        prompt: str = "",
        *,
        copy_of: str = "",
        system: str | None = None,
        description: str | None = None,
        owner: str = "",
        note: str = "",
    ) -> "Prompt":
        """Save a prompt as the next version of its name, and return it.

        Parameters
        ----------
        name
            Name of the prompt.
        prompt
            Template of the message: {to} is a variable, [[ about {about}]] vanishes if it is empty.
        copy_of
            Prompt, or file, whose content is taken as far as nothing else is given.
        system
            Template of the system message.
        description
            What the prompt is for.
        owner
            Name of its owner. "": your user name on this machine.
        note
            What changed, for the list of versions.

        Raises
        ------
        GenloomError
            assistant.empty_prompt, and what else makes a template invalid; store.bad_name_chars and its like.
        """
        from genloom.assistant.prompts.prompt import Prompt, Variable
        from genloom.assistant.prompts.template import parse_template
        from genloom.store.names import validate_name

        name = validate_name(name, "prompt")
        given = {"prompt": prompt or None, "system": system, "description": description, "owner": owner or None}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        base = self.get(copy_of) if copy_of else None
        known = dict(base.variables) if base else {}
        for key in ("system", "prompt"):
            for variable in parse_template(changes.get(key) or "", key).variables:
                known.setdefault(variable, Variable())
        changes["variables"] = known
        if base is None:
            changes.setdefault("prompt", "")
            return self.save(Prompt(**changes), name, note)
        return self.save(replace(base, **({"owner": ""} | changes)), name, note or f"copied from {base.ref}", base.ref)

    def save(self, prompt: "Prompt", name: str = "", note: str = "", parent: str = "") -> "Prompt":
        """Save a prompt under a name (by default its own) as the next version; unchanged, it stays the newest."""
        return self.library.save(prompt, name or prompt.name, self.workspace.get_rater(), note, parent)

    def import_prompts(self, path: str | Path, name: str = "") -> "list[Prompt]":
        """Save the prompt of a file, or of all TOML files in a folder, and return them.

        Raises
        ------
        GenloomError
            core.unreadable_file, assistant.bad_prompt_file: nothing is saved; assistant.no_prompt_files: the folder
            has none; assistant.name_for_several.
        """
        from genloom.assistant.prompts.prompt_file import SUFFIX, read_prompt

        path = expand_home(path)
        files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise GenloomError("assistant.no_prompt_files", path=path)
        if name and len(files) > 1:
            raise GenloomError("assistant.name_for_several", path=path, count=len(files))
        prompts = [read_prompt(file) for file in files]
        return [
            self.save(prompt, name or prompt.name, f"from {file.name}")
            for prompt, file in zip(prompts, files, strict=True)
        ]

    def export(self, refs: Sequence[str], out: str | Path) -> list[Path]:
        """Write prompts to TOML files, which can be kept in version control, and return their paths.

        `out` is a folder, or for one prompt a file that ends in .toml. Without refs, all prompts of the workspace.
        """
        from genloom.assistant.prompts.prompt_file import SUFFIX, format_prompt

        prompts = [self.get(ref) for ref in refs] or [prompt for prompt in self if prompt.version]
        is_folder, out, paths = is_folder_path(out), expand_home(out), []
        for prompt in prompts:
            is_file = len(prompts) == 1 and out.suffix == SUFFIX and not is_folder
            path = out if is_file else out / f"{prompt.name}{SUFFIX}"
            write_atomic(path, format_prompt(prompt))
            paths.append(path)
        return paths

    def remove(self, name: str) -> "BinEntry":
        """Move a prompt with all its versions to the bin; see `Workspace.remove`."""
        return self.workspace.remove("prompts", name)

    def answer(
        self,
        prompt: "Prompt | str",
        given: Given,
        *,
        model: "Model | str" = "",
        n: int = 1,
        seed: int | None = None,
        progress: bool | None = None,
        **params: Any,
    ) -> Outputs:
        """Return `n` stored answers of a model to a prompt with these values; their records name prompt and version.

        Raises
        ------
        GenloomError
            assistant.no_chat_model; assistant.value_missing, assistant.unknown_value; assistant.prompt_too_long.
        """
        from genloom.api.answering import answer
        from genloom.assistant.prompts.requests import describe_template

        prompt = self._to_prompt(prompt)
        speaker = self.choose_model(model)
        params = {**prompt.settings, **{name: value for name, value in params.items() if value is not None}}
        messages = self.build_messages(prompt, given, speaker, params)
        facts = [describe_template(prompt, given)]
        return answer(speaker, [messages], n=n, seed=seed, stop=prompt.stop, facts=facts, progress=progress, **params)

    def test(
        self,
        prompt: "Prompt | str",
        *,
        model: "Model | str" = "",
        seed: int = 0,
        progress: bool | None = None,
        **params: Any,
    ) -> TestReport:
        """Answer the tests of a prompt, and check the answers, which are stored as outputs.

        Raises
        ------
        GenloomError
            assistant.no_tests: the prompt has none; assistant.no_chat_model.
        """
        from genloom.api.answering import answer
        from genloom.assistant.prompts.checks import check_answer
        from genloom.assistant.prompts.requests import describe_template

        prompt = self._to_prompt(prompt)
        if not prompt.tests:
            raise GenloomError("assistant.no_tests", prompt=prompt.name)
        speaker = self.choose_model(model)
        params = {**prompt.settings, **{name: value for name, value in params.items() if value is not None}}
        conversations = [self.build_messages(prompt, test.given, speaker, params) for test in prompt.tests]
        facts = [describe_template(prompt, test.given) for test in prompt.tests]
        outputs = answer(speaker, conversations, seed=seed, stop=prompt.stop, facts=facts, progress=progress, **params)
        results = tuple(
            TestResult(test.given, output, check_answer(str(output.continuation), test.checks))
            for test, output in zip(prompt.tests, outputs, strict=True)
        )
        return TestReport(prompt.ref, speaker.ref, results)

    def improve(
        self,
        prompt: "Prompt | str",
        examples: "str | Path | Sequence[Mapping[str, Any]]",
        *,
        model: "Model | str" = "",
        judge: str = "exact",
        budget: int = 500,
        held_out: float = 0.5,
        seed: int = 0,
        should_save: bool = True,
        progress: "bool | Callable[[float, str], None] | None" = None,
    ) -> "ImproveReceipt":
        """Search for a better prompt, and save it only if held-out examples prove it better.

        Parameters
        ----------
        prompt
            Prompt to improve.
        examples
            File of JSON lines, or mappings: {"input": "…", "answer": "…"}, or variables by name, and checks.
        model
            Model that answers. "": the newest that can chat.
        judge
            How answers are compared with those of the examples: exact, contains, json, or check:SPEC. Checks of an
            example go before.
        budget
            Most answers that are generated.
        held_out
            Share of the examples that only the proof uses.
        seed
            Seed of the split and of the model's own wordings.
        should_save
            Whether a better prompt is saved as the next version.

        Raises
        ------
        GenloomError
            assistant.too_few_cases, assistant.budget_too_small, assistant.bad_case, assistant.no_chat_model.
        """
        from genloom.api.answering import answer_unstored
        from genloom.assistant.prompts.cases import split_cases
        from genloom.assistant.prompts.improve import ImproveOptions, improve_prompt
        from genloom.assistant.prompts.receipt import ImproveReceipt, count_attempts
        from genloom.settings import parse_settings
        from genloom.store.clock import get_now
        from genloom.store.names import make_timed_id

        prompt = self._to_prompt(prompt)
        cases = self._read_cases(examples, prompt, judge)
        options = parse_settings(ImproveOptions, {"budget": budget, "held_out": held_out, "seed": seed}, "improve")
        speaker = self.choose_model(model)
        split = split_cases(cases, held_out, seed)

        def answer_all(conversations: Any, params: Mapping[str, Any], stop: Sequence[str]) -> list[str]:
            return answer_unstored(speaker, conversations, seed=seed, stop=stop, **params)

        def fit(variant: "Prompt", given: Given) -> "list[Message]":
            return self.build_messages(variant, given, speaker, variant.settings)

        with self.workspace.open_callback("Improving", progress) as report:
            num_earlier = count_attempts(self.workspace.folder, prompt, split.held_out_digest)
            found = improve_prompt(prompt, split, options, answer_all, fit, num_earlier, report)
        saved = ""
        if found.is_proved and should_save:
            note = f"improved on {format_count(len(cases), 'example')}: {found.best.how}"
            saved = self.save(replace(found.best.prompt, owner=prompt.owner), prompt.name, note, prompt.ref).ref
        receipt = ImproveReceipt(prompt.ref, saved, speaker.ref, speaker.digest, judge, seed, found)
        receipt.write(self.workspace.folder, f"{prompt.name}-{make_timed_id(get_now())}")
        return receipt

    def count_ratings(self, name: str) -> dict[int, tuple[int, int]]:
        """Return for each version of a prompt how many thumbs up and down its outputs have, and stars as such."""
        from genloom.rate.ratings import read_ratings

        versions = {}
        for _, record in self.workspace.store.list_records():
            if (template := record.get("template") or {}).get("name") == name:
                versions[record["id"]] = int(template.get("version") or 0)
        counts: dict[int, tuple[int, int]] = {}
        for rating in read_ratings(self.workspace.ledger).ratings if versions else ():
            if rating.output in versions and rating.scale != "note":
                up, down = counts.get(versions[rating.output], (0, 0))
                is_up = rating.value > (3 if rating.scale == "stars" else 0)
                counts[versions[rating.output]] = (up + is_up, down + (not is_up))
        return counts

    def build_messages(
        self, prompt: "Prompt", given: Given, model: "Model", params: Mapping[str, Any]
    ) -> "list[Message]":
        """Return the conversation that a model reads, with as many examples as fit beside its answer.

        The system message of a model without one is the beginning of the first question.
        """
        from genloom.generate.text.conversation import get_chat_codec

        loaded = model.load()
        return fit_to_codec(prompt, given, get_chat_codec(loaded), loaded.design.context_length, params)

    def _to_prompt(self, prompt: "Prompt | str") -> "Prompt":
        return self.get(prompt) if isinstance(prompt, str) else prompt

    def choose_model(self, model: "Model | str" = "") -> "Model":
        """Return the model of this name, or the newest that can chat; see `genloom.assistant.models`."""
        from genloom.assistant.models import choose_chat_model

        return choose_chat_model(self.workspace, model) if isinstance(model, str) else model

    def _read_cases(
        self, examples: "str | Path | Sequence[Mapping[str, Any]]", prompt: "Prompt", judge: str
    ) -> "list[Case]":
        from genloom.assistant.prompts.cases import parse_case, read_cases

        if isinstance(examples, str | Path):
            return read_cases(expand_home(examples), prompt, judge)
        return [parse_case(dict(row), prompt, judge) for row in examples]

    def __repr__(self) -> str:
        return f"<Prompts of {self.workspace!r}: {', '.join(self.library.list_names())}>"


def fit_to_codec(
    prompt: "Prompt", given: Given, codec: "ChatCodec", context_length: int, params: Mapping[str, Any]
) -> "list[Message]":
    """Return the conversation that a model of this codec reads, with as many examples as fit beside its answer.

    The system message of a model without one is the beginning of the first question.
    """
    from genloom.assistant.prompts.requests import fit_messages
    from genloom.codecs.chat_template import render_chat, require_chat_template
    from genloom.generate.text.conversation import DEFAULT_MAX_REPLY_TOKENS
    from genloom.types import Message

    max_tokens = int(params.get("max_tokens") or DEFAULT_MAX_REPLY_TOKENS)
    limit = context_length - min(max_tokens, context_length // 2)
    has_system = "system" in require_chat_template(codec).prefixes

    def adapt(messages: Sequence[Message]) -> list[Message]:
        if has_system or messages[0].role != "system":
            return list(messages)
        first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
        return [first, *messages[2:]]

    def count_tokens(messages: Sequence[Message]) -> int:
        return len(render_chat(codec, adapt(messages), add_generation_prompt=True)[0])

    return adapt(fit_messages(prompt, given, limit, count_tokens))
