"""Conversations with a model."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.outputs import Output
from genloom.store.conversation import Conversation

if TYPE_CHECKING:
    from genloom.api.chat_reader import Reader
    from genloom.api.knowledge import Knowledge
    from genloom.api.models import Model
    from genloom.assistant.tools.tool import Tool, ToolCall
    from genloom.assistant.tools.toolbox import Toolbox
    from genloom.codecs.chat_template import RenderMessage
    from genloom.generate.text.conversation import TruncatedConversation
    from genloom.model import Model as LoadedModel
    from genloom.types import Message


@check_arguments
class Chat:
    """A conversation with a model; every answer is stored as an output that can be rated and replayed.

    Attributes
    ----------
    conversation
        The system prompt and the messages so far.
    is_saved
        Whether the conversation is saved in the workspace after every turn.
    is_marked
        Whether the answers are marked by the workspace's key.
    context
        The part of the conversation that the model read for the last answer; None before the first one.
    has_loop
        Whether the last answer was ended because it repeated itself.
    is_cut
        Whether the last answer was cut at the maximum number of tokens.
    tools
        The tools that the model may ask for; None: it has none.
    readers
        Readers, which give the model what it reads beside the conversation, such as passages of documents.
    """

    def __init__(
        self,
        model: "Model",
        conversation: Conversation,
        *,
        seed: int | None = None,
        adapters: tuple[str, ...] = (),
        precision: str = "auto",
        is_saved: bool = True,
        is_marked: bool = True,
        tools: "Toolbox | None" = None,
        params: Mapping[str, Any],
    ):
        from genloom.assistant.tools.call_formats import find_call_format
        from genloom.generate.text.conversation import DEFAULT_PARAMS, get_chat_codec

        self.model, self.conversation, self.seed, self.is_saved = model, conversation, seed, is_saved
        self.is_marked, self.tools = is_marked, tools
        self.readers: list[Reader] = []
        self.params = {**DEFAULT_PARAMS, **params}
        self.adapters, self.precision = adapters, precision
        self.context: TruncatedConversation | None = None
        self.has_loop = self.is_cut = False
        self._loaded_model = model.load(adapters, precision)
        self._first_system = conversation.system
        self._read_messages, self._num_read = list["Message"](), 0  # by the last answer, and those of the conversation
        self._num_answers = 0  # with a seed, so that a repeated question gets another answer
        codec = get_chat_codec(self._loaded_model)  # raises if the model cannot chat
        if tools is not None:
            tools.adopt_format(find_call_format(codec), model.ref)
        self._check_system(conversation.system)

    def ask(self, question: str) -> Output:
        """Ask a question and return the answer.

        Raises
        ------
        GenloomError
            api.empty_question: the question is blank.
        """
        for _ in self.iter_ask(question):
            pass
        return self.answer

    def iter_ask(self, question: str, should_stop: Callable[[], bool] = lambda: False) -> Generator[str]:
        """Ask a question and yield the pieces of the answer as they are generated.

        `should_stop` is called after every piece; what was generated until then is the answer. The question is saved
        before the answer is generated.
        """
        from genloom.errors import GenloomError

        if not question.strip():
            raise GenloomError("api.empty_question")
        self._apply_policy(question)
        self.conversation = self.conversation.with_question(question.strip())
        self.save()
        yield from self._iter_answer(should_stop)

    def retry(self) -> Output:
        """Answer the last question again, with another seed."""
        for _ in self.iter_retry():
            pass
        return self.answer

    def iter_retry(self, should_stop: Callable[[], bool] = lambda: False) -> Generator[str]:
        """Answer the last question again, and yield the pieces of the answer."""
        self._apply_policy(*self.conversation.questions[-1:])
        before, self.conversation = self.conversation, self.conversation.without_last_answer()
        num_kept = len(self.conversation.messages)
        try:
            yield from self._iter_answer(should_stop)
        finally:
            if len(self.conversation.messages) == num_kept:  # no other answer was made
                self.conversation = before

    def edit(self, number: int, question: str) -> Output:
        """Replace question `number`, counted from 1, drop what follows, and return the answer."""
        for _ in self.iter_edit(number, question):
            pass
        return self.answer

    def iter_edit(self, number: int, question: str, should_stop: Callable[[], bool] = lambda: False) -> Generator[str]:
        """Replace question `number`, drop what follows, and yield the pieces of the answer."""
        self._apply_policy(question)
        self.conversation = self.conversation.with_edited_question(number, question)
        self.save()
        yield from self._iter_answer(should_stop)

    @property
    def loaded_model(self) -> "LoadedModel":
        """The loaded model."""
        return self._loaded_model

    @property
    def answer(self) -> Output:
        """The last answer."""
        return self.model.workspace.output(self.conversation.outputs[-1])

    def list_calls(self) -> list[dict[str, Any]]:
        """List the calls of tools before the last answer: name, arguments and result of each."""
        if self.tools is None:
            return []
        messages = self.conversation.messages
        begin = max((n for n, message in enumerate(messages) if message.role == "user"), default=0)
        calls = [
            {"name": call.name, "arguments": dict(call.arguments)}
            for message in messages[begin:]
            if message.role == "assistant"
            for call in self.tools.parse(message.content).calls
        ]
        results = [message.content for message in messages[begin:] if message.role == "tool"]
        return [{**call, "result": result} for call, result in zip(calls, results, strict=False)]

    @property
    def num_tokens(self) -> int:
        """The number of tokens of the model's context that the conversation takes."""
        from genloom.generate.text.conversation import build_messages, get_chat_codec, truncate_conversation

        if not self.conversation.messages:
            return 0
        messages, render_message, _ = self._add_tools(build_messages(self.conversation), False)
        codec = get_chat_codec(self._loaded_model)
        return len(truncate_conversation(codec, messages, self.context_length, render_message).prompt_ids)

    @property
    def context_length(self) -> int:
        """The number of tokens that the model reads at most."""
        return self._loaded_model.design.context_length

    def save(self, title: str = "") -> None:
        """Save the conversation, under a new title if one is given; without a title only if `is_saved`.

        If another program has changed it since, this one goes on as a copy with an id of its own.
        """
        if title:
            self.conversation = self.conversation.with_title(title)
        if title or self.is_saved:
            self.conversation = self.model.workspace.store.save_conversation(self.conversation, can_copy=True)

    def reset(self) -> None:
        """Begin a new conversation with the system prompt that the chat began with."""
        self.conversation = Conversation(system=self._first_system)

    def set_system(self, text: str) -> None:
        """Set the system prompt of the conversation.

        Raises
        ------
        GenloomError
            api.no_system_role: the model was trained without system prompts.
        """
        self._check_system(text)
        self.conversation = replace(self.conversation, system=text)

    def _check_system(self, text: str) -> None:
        from genloom.codecs.chat_template import require_chat_template
        from genloom.errors import GenloomError
        from genloom.generate.text.conversation import get_chat_codec

        if text and "system" not in require_chat_template(get_chat_codec(self._loaded_model)).prefixes:
            raise GenloomError("api.no_system_role", model=self.model.ref)

    def _apply_policy(self, *questions: str) -> None:
        """Raise GenloomError for a question, with the system prompt before it, that the content rules refuse."""
        from genloom.api.policy import apply_policy, list_borders

        text = "\n".join(filter(None, [self.conversation.system, *questions]))
        earlier = [question for question in self.conversation.questions if question not in questions][-1:]
        apply_policy(self.model.workspace, [text, *list_borders([*earlier, *questions])], self.model.ref)

    def _iter_answer(self, should_stop: Callable[[], bool]) -> Generator[str]:
        """Yield the answer; calls of tools come before it, each with its result, as far as they are allowed."""
        if self.tools is None:
            yield from self._iter_reply(should_stop)
            return
        from genloom.assistant.tools.toolbox import MAX_ROUNDS

        self.tools.begin_turn()
        failed_calls: list[ToolCall] = []
        can_call = True
        for number in range(MAX_ROUNDS + 1):
            can_call = can_call and number < MAX_ROUNDS
            yield from self._iter_reply(should_stop, can_call=can_call)
            calls = self.tools.parse(self.conversation.messages[-1].content).calls if can_call else ()
            if not calls or should_stop():
                return
            for call in calls:
                result = self.tools.run(call, self._list_turn(), self.conversation.messages)
                self.conversation = self.conversation.with_tool_result(result.text, result.is_trusted)
                failed_calls += [call] * result.is_error
                can_call = can_call and failed_calls.count(call) < 2  # else the model has to answer in words
            self.save()

    def _list_turn(self) -> list["Message"]:
        """Return what the model read and what was added to it since the last question."""
        messages = [*self._read_messages, *self.conversation.messages[self._num_read :]]
        questions = [n for n, message in enumerate(messages) if message.role == "user"]
        return messages[questions[-1] :] if questions else messages

    def _iter_reply(self, should_stop: Callable[[], bool], can_call: bool = False) -> Generator[str]:
        """Yield one answer of the model, and store it."""
        from genloom.api.policy import apply_policy
        from genloom.generate import engine
        from genloom.generate.marking import mark_request
        from genloom.generate.text.conversation import build_chat_request, build_messages, store_reply

        seed = None if self.seed is None else self.seed + self._num_answers
        messages = build_messages(self.conversation)
        for reader in self.readers:
            messages = reader.prepare(messages)
        messages, render_message, grammar = self._add_tools(messages, can_call)
        self._read_messages, self._num_read = messages, len(self.conversation.messages)
        request, self.context = build_chat_request(self._loaded_model, messages, seed, self.params, render_message)
        if grammar:
            request = replace(request, grammar=grammar)
        if self.is_marked:
            request = mark_request(self.model.workspace.store, self._loaded_model, request)
        self._num_answers += 1
        draft, shown_text = None, ""
        for draft in engine.generate(self._loaded_model, request, should_stop):
            text = self._get_shown_text(draft.continuations[0], bool(grammar))
            yield text[len(shown_text) :]
            shown_text = text
        assert draft is not None, "a request yields at least one draft"
        text = draft.continuations[0]
        if not (grammar and self.tools and self.tools.parse(text).calls):
            yield text[len(shown_text) :]  # what looked like the beginning of a call
        apply_policy(self.model.workspace, draft.continuations, self.model.ref, "output")
        self.conversation = store_reply(
            self.model.workspace.store,
            self._loaded_model,
            self.conversation,
            request,
            draft,
            self.context,
            messages=messages,
            facts={name: value for reader in self.readers for name, value in reader.describe(text).items()},
        )
        self.has_loop = draft.has_loop[0]
        self.is_cut = not (draft.is_finished[0] or should_stop())
        self.save()

    def _add_tools(
        self, messages: list["Message"], can_call: bool
    ) -> "tuple[list[Message], RenderMessage | None, str]":
        """Return the messages that the model reads, how those about tools are written, and the grammar of an answer."""
        from functools import partial

        from genloom.assistant.tools.call_formats import find_call_format, render_tool_message
        from genloom.assistant.tools.toolbox import Toolbox
        from genloom.codecs.chat_template import require_chat_template
        from genloom.generate.text.conversation import get_chat_codec

        if self.tools is None and all(message.role != "tool" for message in messages):
            return messages, None, ""
        codec = get_chat_codec(self._loaded_model)
        tools = self.tools or Toolbox([], call_format=find_call_format(codec))
        render_message = partial(render_tool_message, tools.call_format)
        if self.tools is None:
            return tools.write_results(messages), render_message, ""
        described = tools.describe(require_chat_template(codec), messages)
        return described, render_message, tools.build_grammar() if can_call else ""

    def _get_shown_text(self, text: str, can_call: bool) -> str:
        """Return the part of an answer that is shown while it is written: not that of a call."""
        from genloom.assistant.tools.call_formats import get_visible_part

        return get_visible_part(self.tools.call_format, text) if can_call and self.tools else text

    def __str__(self) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in self.conversation.messages)

    def __repr__(self) -> str:
        return f"<Chat with {self.model.ref}: {len(self.conversation.questions)} questions>"


def continue_with_system(conversation: Conversation, system: str | None) -> Conversation:
    """Return the conversation with another system prompt, if one is given."""
    return conversation if system is None else replace(conversation, system=system)


def begin_chat(
    model: "Model",
    question: str = "",
    *,
    system: str | None = None,
    conversation: str = "",
    seed: int | None = None,
    adapters: Sequence[str] = (),
    precision: str = "auto",
    is_saved: bool = True,
    is_marked: bool = True,
    tools: "Sequence[Callable[..., Any] | Tool] | Toolbox" = (),
    confirm: Callable[[Any], bool | str] | None = None,
    knowledge: "Knowledge | None" = None,
    **params: Any,
) -> Chat:
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
    is_marked
        Whether the answers are marked by the workspace's key; see `generate`.
    tools
        Functions with type hints that the model may call, and tools of `open_toolbox`. A function that is given here
        runs without a question unless `confirm` is given.
    confirm
        Function that gets each call before it runs, and returns True, False, or "always" for its tool.
    knowledge
        Documents that questions are answered from (`Workspace.open_knowledge`); each answer has its sources in
        `chat.readers[0].sentences`. None: the model answers by itself.
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
    from genloom.api.knowledge_answers import KnowledgeReader
    from genloom.api.tools import build_toolbox

    saved = model.workspace.store.get_conversation(conversation) if conversation else Conversation()
    given_params = {name: value for name, value in params.items() if value is not None}
    chat = Chat(
        model,
        continue_with_system(saved, system),
        seed=seed,
        adapters=tuple(adapters),
        precision=precision,
        is_saved=is_saved,
        is_marked=is_marked,
        tools=build_toolbox(tools, confirm),
        params=given_params,
    )
    if knowledge is not None:
        chat.readers.append(KnowledgeReader(knowledge, chat))
    if question:
        chat.ask(question)
    return chat
