"""The commands of the chat about its context: memory, attachments, and how much of it is used."""

from typing import TYPE_CHECKING

from genloom.api.chat_context import get_context
from genloom.errors import GenloomError
from genloom.text_format import format_count, format_table

if TYPE_CHECKING:
    from genloom.cli.repl import ChatREPL


def show_memory(repl: "ChatREPL", _: str) -> None:
    """`/memory`: the facts, with the numbers that /forget takes, and their file."""
    context = get_context(repl.chat)
    if context.memory is None:
        repl.console.print_note("This chat has no memory. /remember TEXT begins one; or: --memory NAME")
        return
    memory = context.open_memory()
    repl.console.print_lines(f"{number}. {fact}" for number, fact in enumerate(memory.facts, start=1))
    repl.console.print_note(f"{format_count(len(memory.facts), 'fact')} in {memory.path}, which you can edit.")


def remember_fact(repl: "ChatREPL", argument: str) -> None:
    """`/remember TEXT`."""
    memory = get_context(repl.chat).remember(argument)
    repl.console.print_note(f"Remembered as fact {len(memory.facts)} of the memory {memory.name}.")


def forget_facts(repl: "ChatREPL", argument: str) -> None:
    """`/forget NUMBER` or `/forget TEXT`."""
    removed = get_context(repl.chat).forget(argument)
    repl.console.print_lines(f"Forgotten: {fact}" for fact in removed)


def attach_file(repl: "ChatREPL", argument: str) -> None:
    """`/attach FILE`; without a file, the list of attachments."""
    context = get_context(repl.chat)
    if not argument:
        repl.console.print_lines(
            f"{each.name}: {format_count(len(each.text), 'character')}" for each in context.attachments
        )
        return
    attachment = context.attach(argument)
    note = ", of which no more is read" if attachment.is_cut else ""
    repl.console.print_note(f"Attached {attachment.name}: {format_count(len(attachment.text), 'character')}{note}.")


def detach_files(repl: "ChatREPL", argument: str) -> None:
    """`/detach [NAME]`."""
    repl.console.print_note(f"Detached {', '.join(get_context(repl.chat).detach(argument))}.")


def show_context(repl: "ChatREPL", _: str) -> None:
    """`/context`: what the context is used for, in tokens."""
    shares = get_context(repl.chat).list_shares()
    total = repl.chat.context_length
    rows = [(share.name, f"{share.num_tokens:,}", f"{100 * share.num_tokens / total:.0f} %") for share in shares]
    repl.console.print_lines(format_table([("context", "tokens", ""), *rows, ("all", f"{total:,}", "100 %")]))
    if (summary := repl.chat.conversation.summary) is not None:
        repl.console.print_note(f"Summary (output {summary.output}): {summary.text}")


def switch_summaries(repl: "ChatREPL", argument: str) -> None:
    """`/summaries on` or `/summaries off`."""
    context = get_context(repl.chat)
    if argument not in ("", "on", "off"):
        raise GenloomError("assistant.bad_switch", command="/summaries", value=argument)
    if argument:
        context.has_summaries = argument == "on"
    state = "summarised by the model" if context.has_summaries else "dropped"
    repl.console.print_note(f"Messages that no longer fit are {state}.")
