"""Models: they generate, chat, are measured, learn from ratings and are exported."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.api import progress as progress_bars
from genloom.api.generation import (
    GenerationProgress,
    Rows,
    apply_presets,
    build_request,
    continue_request,
    iter_outputs,
)
from genloom.api.outputs import Output, Outputs, render_table
from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.store.model_folder import ModelFolder

if TYPE_CHECKING:
    from genloom.api.arena import Arena
    from genloom.api.chat import Chat
    from genloom.api.evaluations import Comparison, Evaluation
    from genloom.api.receipts import Receipt
    from genloom.api.workspace import Workspace
    from genloom.evaluate.progress import Progress
    from genloom.exchange.exporter import ExportResult
    from genloom.learn.round import LearnResult
    from genloom.learn.unlearn_document import UnlearnDocumentResult
    from genloom.learn.unlearn_ratings import UnlearnRatingsResult
    from genloom.model import Model as LoadedModel
    from genloom.settings import OptionInfo
    from genloom.store.ledger import Event as LedgerEvent
    from genloom.train.events import Event


@dataclass(frozen=True)
class Model:
    """A version of a model in a workspace. Its weights are loaded when they are first needed, and kept."""

    workspace: "Workspace"
    folder: ModelFolder
    _loaded: "dict[tuple[tuple[str, ...], str], LoadedModel]" = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def version(self) -> int:
        return self.folder.version

    @property
    def ref(self) -> str:
        """The name of the version, e.g. notes/2."""
        return self.folder.ref

    @property
    def digest(self) -> str:
        """SHA-256 over weights, codec and job; equal models have equal digests."""
        return self.folder.digest

    @property
    def card(self) -> dict[str, Any]:
        """What the model was trained on, by which job, with what result."""
        return self.folder.card

    @property
    def is_active(self) -> bool:
        """Whether the name alone means this version."""
        return self.workspace.store.get_model(self.name).ref == self.ref

    def load(self, adapters: Iterable[str] = (), precision: str = "auto") -> "LoadedModel":
        """Return the loaded model: networks, codec and objective."""
        from genloom.model import load_model

        key = tuple(adapters), precision
        if key not in self._loaded:
            self._loaded[key] = load_model(self.workspace.store, self.ref, *key)
        return self._loaded[key]

    # Generation

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        n: int = 1,
        seed: int | None = None,
        given: Rows | None = None,
        stop: str | Sequence[str] = (),
        preset: str | Sequence[str] = (),
        interpolate: int = 0,
        adapters: Sequence[str] = (),
        precision: str = "auto",
        is_chat: bool | None = None,
        continue_from: Output | str = "",
        progress: bool | None = None,
        **params: Any,
    ) -> Outputs:
        """Generate outputs; every output is stored, traceable and replayable.

        Parameters
        ----------
        prompt
            Start of a text, or description of an image. A sequence gives several prompts.
        n
            Number of outputs for each prompt.
        seed
            Random seed; the same seed gives the same outputs. None: a new one each time.
        given
            Values of the model's other conditions by name, e.g. {"logp": 2.5, "loads": array}; a str is parsed as the
            command line parses it. A sequence of mappings gives outputs for each.
        stop
            Strings that end a text and are not part of it.
        preset
            Names of presets (see `Workspace.presets`).
        interpolate
            Number of outputs of an interpolation between two prompts, or between two outputs of one prompt.
        adapters
            Models tuned on the same base with method "lora", whose adapters are added.
        precision
            float32, bfloat16, int8, int4 or auto.
        is_chat
            Whether prompts are questions, written in the model's chat template, with the sampling of a chat. None: yes
            for a model that was tuned on conversations.
        continue_from
            Output to continue, under its conditions; "last" is the newest. Outputs begin with it.
        progress
            Whether a bar is shown on standard error. None: in notebooks only.
        params
            Parameters of the sampler, e.g. max_tokens, temperature, top_p, or steps, guidance_scale, negative_prompt;
            and options of the medium's editing, e.g. image, mask, strength.

        Returns
        -------
        Outputs
            A list of outputs, prompt by prompt.

        Raises
        ------
        GenloomError
            generate.unknown_param: the sampler has no such parameter; conditioners.unknown: the model has no such
            condition; api.stop_without_text, api.empty_stop, api.interpolate_prompts; api.continue_unsupported,
            api.continue_answer: the output cannot be continued.
        """
        outputs = Outputs()
        events = self.iter_generate(
            prompt,
            n=n,
            seed=seed,
            given=given,
            stop=stop,
            preset=preset,
            interpolate=interpolate,
            adapters=adapters,
            precision=precision,
            is_chat=is_chat,
            continue_from=continue_from,
            **params,
        )
        with self.workspace.open_bar("Generating", progress) as bar:
            for event in events:
                match event:
                    case GenerationProgress():
                        bar.update(event.step / event.total, event.note)
                    case Output():
                        outputs.append(event)
        return outputs

    def iter_generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        n: int = 1,
        seed: int | None = None,
        given: Rows | None = None,
        stop: str | Sequence[str] = (),
        preset: str | Sequence[str] = (),
        interpolate: int = 0,
        adapters: Sequence[str] = (),
        precision: str = "auto",
        is_chat: bool | None = None,
        continue_from: Output | str = "",
        **params: Any,
    ) -> Generator[GenerationProgress | Output]:
        """Yield the steps of a generation, and each output once it is stored; takes the arguments of `generate`."""
        from genloom.generate.presets import require_medium
        from genloom.generate.text.conversation import choose_chat

        prompts = to_list(prompt)
        if not prompts:
            raise GenloomError("api.no_prompts")
        presets = self.workspace.get_presets(to_list(preset))
        prompts, params = apply_presets(presets, prompts, params)
        model = self.load(adapters, precision)
        require_medium(presets, model.design.medium)
        is_chat = choose_chat(self.workspace.store, [model], False if continue_from else is_chat)
        request = build_request(model, prompts, n, seed, to_list(stop), given or {}, interpolate, params, is_chat)
        if continue_from:
            request = continue_request(model, request, self.workspace.output(continue_from))
        yield from iter_outputs(self.workspace, model, request, is_chat)

    def list_options(self) -> "list[OptionInfo]":
        """List the parameters of the sampler that `generate` takes: name, type, default, allowed values and meaning."""
        from genloom.generate import engine

        model = self.load()
        defaults = engine.add_suggested_params(model, {})
        if engine.is_open_sequence(model.codec.space) and engine.is_left_to_right(model):
            defaults["max_tokens"] = engine.get_default_max_tokens(model)
        return [replace(o, default=defaults.get(o.name, o.default)) for o in engine.list_request_options(model)]

    def chat(
        self,
        question: str = "",
        *,
        system: str | None = None,
        conversation: str = "",
        seed: int | None = None,
        adapters: Sequence[str] = (),
        precision: str = "auto",
        is_saved: bool = True,
        **params: Any,
    ) -> "Chat":
        """Begin or continue a conversation.

        Parameters
        ----------
        question
            First question. "": none yet.
        system
            System prompt.
        conversation
            Conversation to continue, by id or title. "": a new one.
        seed
            Random seed. None: a new one each time.
        adapters, precision
            As for `generate`.
        is_saved
            Whether the conversation is saved in the workspace after every turn.
        params
            Parameters of the sampler, e.g. max_tokens, temperature.

        Returns
        -------
        Chat
            The conversation: `chat.ask("…")` returns the next answer, `chat.answer` is the last one.

        Raises
        ------
        GenloomError
            generate.cannot_chat: the model was not trained on conversations; store.unknown_name_near and its
            like: there is no such conversation.
        """
        from genloom.api.chat import Chat, continue_with_system
        from genloom.store.conversation import Conversation

        saved = self.workspace.store.get_conversation(conversation) if conversation else Conversation()
        given_params = {name: value for name, value in params.items() if value is not None}
        chat = Chat(
            self,
            continue_with_system(saved, system),
            seed=seed,
            adapters=tuple(adapters),
            precision=precision,
            is_saved=is_saved,
            params=given_params,
        )
        if question:
            chat.ask(question)
        return chat

    # Measuring

    def evaluate(
        self,
        data: str = "",
        *,
        split: Literal["val", "test"] = "val",
        battery: bool = False,
        tasks: str | Sequence[str] = "",
        limit: int = 0,
        precision: str = "",
        progress: "bool | Progress | None" = None,
        **options: Any,
    ) -> "Evaluation":
        """Measure the model on held-out data, and how much its samples copy from training data.

        Parameters
        ----------
        data
            Data set to measure on. "": the one the model was trained on.
        split
            Held-out split: val is read during training, test never is.
        battery
            Run the benchmark battery of the medium instead.
        tasks, limit
            Tasks of the battery, and the maximum number of items per task; "" and 0: all.
        precision
            float32, bfloat16, int8, int4 or auto. "": float32; auto for the battery.
        progress
            Whether progress is shown on standard error (None: in notebooks only), or an object with `print_note` and
            `show_progress`.
        options
            num_samples, max_tokens, temperature, seed, max_bytes, is_chat; params: other sampling parameters by name.

        Returns
        -------
        Evaluation
            The report; `print` shows it, `to_json` gives every number, `save` writes it with its charts.

        Raises
        ------
        GenloomError
            evaluate.other_medium, evaluate.no_dataset: there is no data set that suits the model; evaluate.no_battery,
            evaluate.unknown_task.
        """
        from genloom.api.evaluations import evaluate

        return evaluate(self, data, split, battery, tasks, limit, precision, progress, options)

    def compare(
        self,
        other: "Model | str",
        data: str = "",
        *,
        split: Literal["val", "test"] = "val",
        battery: bool = False,
        tasks: str | Sequence[str] = "",
        limit: int = 0,
        precision: str = "",
        progress: "bool | Progress | None" = None,
        **options: Any,
    ) -> "Comparison":
        """Compare another model with this one on the same held-out data; takes the arguments of `evaluate`.

        Returns
        -------
        Comparison
            The report, with `verdict` on the other model: better, worse, or no difference shown.

        Raises
        ------
        GenloomError
            evaluate.different_media: the models are of different media.
        """
        from genloom.api.evaluations import compare

        models = (self, self.workspace.model(other))
        return compare(models, data, split, battery, tasks, limit, precision, progress, options)

    # Ratings and learning

    def arena(
        self,
        prompts: str | Sequence[str] = "",
        *,
        n: int = 1,
        given: Rows | None = None,
        against: "Model | str | None" = None,
        is_chat: bool | None = None,
        repeats: float = 0.1,
        rater: str = "",
        **params: Any,
    ) -> "Arena":
        """Begin or continue a session of blind choices between two answers to each prompt.

        Parameters
        ----------
        prompts
            Prompts to answer. "": none, which needs `given` or a larger `n`.
        n
            Number of pairs for each prompt.
        given
            Values of the model's other conditions by name; a sequence of mappings gives pairs for each.
        against
            Other model or version that gives the second answer. None: the same model with other random seeds.
        is_chat
            Whether the prompts are questions, written in the chat template. None: yes if one of the models was tuned
            on conversations.
        repeats
            Share of pairs shown a second time in the other order, to measure the rater's consistency.
        rater
            Name of the rater. "": that of the workspace, else your user name.
        params
            Parameters of the sampler, e.g. max_tokens, temperature.

        Returns
        -------
        Arena
            Iterate over its trials: `for trial in arena: trial.choose("a")`.

        Raises
        ------
        GenloomError
            api.arena_prompts_missing, api.arena_same_model, api.arena_temperature_zero.
        """
        from genloom.api.arena import Arena

        rival = None if against is None else self.workspace.model(against)
        return Arena(
            self,
            to_list(prompts),
            against=rival,
            is_chat=is_chat,
            repeats=repeats,
            rater=rater,
            n=n,
            given=given or {},
            params={name: value for name, value in params.items() if value is not None},
        )

    def rate(self, check: str) -> "list[LedgerEvent]":
        """Compare all pairs of the model's outputs by a machine check, e.g. "length:max_length=1".

        Returns
        -------
        list of ledger entries
            One for each new choice, marked as a machine's.

        Raises
        ------
        GenloomError
            rate.no_pairs: no two outputs answer the same prompt; core.unknown_part: there is no such check.
        """
        from genloom.rate.auto_rater import rate_pairs

        return rate_pairs(self.workspace.store, self.workspace.ledger, self.name, check)

    def learn(
        self,
        *,
        minutes: float = 0.0,
        steps: int = 0,
        method: str = "auto",
        check: str = "",
        reward: str | Sequence[str] = (),
        best_of: int = 0,
        prompts: Sequence[str] = (),
        max_eval_prompts: int = 0,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        progress: bool | None = None,
    ) -> "Receipt":
        """Learn from ratings; the new version is activated only if held-out ratings prove it better.

        The active version of the model learns. Called again with the same arguments, an interrupted round continues.

        Parameters
        ----------
        minutes, steps
            Time budget of the round, or the exact number of training steps. 0 and 0: 5 minutes.
        method
            dpo, kto, weighted, grpo, none (only what best-of-n gains), or auto.
        check
            Machine check that also compares the held-out answers, e.g. "length:max_length=1".
        reward
            Rewards of method grpo: "model", or checks. (): "model".
        best_of
            Number of answers of the active version for a best-of-n baseline. 0: not measured.
        prompts
            Extra evaluation prompts for the safeguards and, with `check`, for a tighter win rate.
        max_eval_prompts
            Maximum number of held-out prompts that both versions answer. 0: the default.
        overrides
            Job settings by their path, e.g. {"plan.warmup": 100}.
        seed
            Random seed.
        progress
            Whether a bar is shown on standard error. None: in notebooks only.

        Returns
        -------
        Receipt
            What changed, with which confidence and at which cost; `receipt.model` is the version now in use.

        Raises
        ------
        GenloomError
            rate.too_few_preferences: how many are missing; learn.too_few_eval_prompts.
        """
        events = self.iter_learn(
            minutes=minutes,
            steps=steps,
            method=method,
            check=check,
            reward=reward,
            best_of=best_of,
            prompts=prompts,
            max_eval_prompts=max_eval_prompts,
            overrides=overrides,
            seed=seed,
        )
        return self.to_receipt(progress_bars.run_events(events, "Learning", self.workspace.is_shown(progress)))

    def iter_learn(
        self,
        *,
        minutes: float = 0.0,
        steps: int = 0,
        method: str = "auto",
        check: str = "",
        reward: str | Sequence[str] = (),
        best_of: int = 0,
        prompts: Sequence[str] = (),
        max_eval_prompts: int = 0,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> "Generator[Event | LearnResult]":
        """Yield the events of a round of learning; takes the arguments of `learn`. `to_receipt` reads the last one."""
        from genloom.learn.rl_env import REWARD_MODEL
        from genloom.learn.round import MAX_EVAL_PROMPTS, LearnRequest, learn
        from genloom.old_names import upgrade_method
        from genloom.train.planning.auto_config import Budget

        request = LearnRequest(
            self.name,
            upgrade_method(method),
            check,
            extra_prompts=tuple(prompts),
            rewards=tuple(to_list(reward)) or (REWARD_MODEL,),
            best_of=best_of,
            budget=Budget(minutes=minutes, steps=steps, seed=seed),
            overrides=to_overrides(overrides),
            max_eval_prompts=max_eval_prompts or MAX_EVAL_PROMPTS,
        )
        return learn(self.workspace.store, self.workspace.ledger, request)

    def to_receipt(self, result: "Event | LearnResult") -> "Receipt":
        """Return the receipt of the last event of `iter_learn`."""
        from genloom.api.receipts import Receipt
        from genloom.learn.round import LearnResult

        assert isinstance(result, LearnResult), "a round ends with its result"
        return Receipt(self.workspace, result.receipt, result.digest, result.run)

    def forget(
        self, *, rater: str = "", item: str = "", progress: bool | None = None
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
            api.forget_target: neither or both are named; learn.no_ratings_of, learn.document_not_used: there is
            nothing to forget.
        """
        events: Generator[Any] = self.iter_forget(rater=rater, item=item)
        return progress_bars.run_events(events, "Learning", self.workspace.is_shown(progress))

    def iter_forget(
        self, *, rater: str = "", item: str = ""
    ) -> "Generator[Event | UnlearnRatingsResult] | Generator[Event | UnlearnDocumentResult]":
        """Yield the events of `forget`, last its result."""
        from genloom.learn.unlearn_document import is_known_document, unlearn_document
        from genloom.learn.unlearn_ratings import unlearn_ratings

        if bool(rater) == bool(item):
            raise GenloomError("api.forget_target")
        store, ledger = self.workspace.store, self.workspace.ledger
        if item and is_known_document(store, item):
            return unlearn_document(store, ledger, self.name, item)
        return unlearn_ratings(store, ledger, self.name, rater, item)

    def promote(self, reason: str = "") -> "LedgerEvent":
        """Activate this version; see `Workspace.promote`."""
        return self.workspace.promote(self.name, self.version, reason)

    # Files

    def export(
        self,
        out: str | Path,
        *,
        to: str = "hf",
        precision: str = "",
        progress: "bool | Callable[[float, str], None] | None" = None,
    ) -> "ExportResult":
        """Export the model to a Hugging Face folder, a .gguf file or a PEFT adapter.

        Parameters
        ----------
        out
            New folder; for gguf also a file name that ends in .gguf.
        to
            Format: hf, gguf or peft.
        precision
            float32, float16 or bfloat16 for hf; float16, q8_0 or float32 for gguf. "": as stored for hf, float16 for
            gguf.
        progress
            Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
            next step.

        Returns
        -------
        ExportResult
            The path, and how closely the files compute what the model does.

        Raises
        ------
        GenloomError
            exchange.no_such_format, exchange.output_exists, exchange.not_a_language_model.
        """
        from genloom.exchange.exporter import export_model

        with self.workspace.open_callback("Exporting", progress) as report_progress:
            return export_model(
                self.workspace.store, self.ref, to, expand_home(out), precision or None, report_progress
            )

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of models."""
        return {
            "model": self.ref,
            "parent": self.folder.parent_ref,
            "in_use": self.is_active,
            "digest": self.digest,
            "created": self.folder.created,
            "bytes": sum(file_entry["bytes"] for file_entry in self.card["files"].values()),
        }

    def __repr__(self) -> str:
        return f"<Model {self.ref}>"

    def _repr_html_(self) -> str:
        return render_table([self.to_record()])


def to_list(value: str | Sequence[str]) -> list[str]:
    """Return one str, or several, as a list; "" counts as one, () as none."""
    return [value] if isinstance(value, str) else list(value)


def to_overrides(settings: Mapping[str, Any] | None) -> dict[str, str]:
    """Return job settings by their path, each as the text that `--set PATH=VALUE` takes."""
    from genloom.settings import to_toml_value

    return {path: value if isinstance(value, str) else to_toml_value(value) for path, value in (settings or {}).items()}
