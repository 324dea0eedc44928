"""The share of right calls of SmolLM2 on 46 questions, with a grammar and without, and on 10 that need no tool.

    python bench/assistant.py tools [--model smollm2]

A call is right if it names the right tool and its result is that of the expected call. "required": the grammar makes
the model call a tool; "auto": it may answer in words; "free": no grammar, and an answer counts if it is a call in the
form that the model was told. Greedy, so that each question is asked once; intervals are Wilson's, 95 %.
"""

import argparse
import tempfile
from collections.abc import Sequence
from typing import Any

from genloom.api.answering import answer_unstored
from genloom.api.workspace import Workspace
from genloom.assistant.tools.built_in import list_built_in_tools
from genloom.assistant.tools.call_formats import add_tools, build_call_grammar, find_call_format, parse_answer
from genloom.assistant.tools.tool import Tool, ToolCall
from genloom.assistant.tools.toolbox import run_bounded
from genloom.types import Message

QUESTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("What is 17 times 23?", "calculate", {"expression": "17*23"}),
    ("Compute 125 + 378.", "calculate", {"expression": "125+378"}),
    ("How much is 1000 minus 387?", "calculate", {"expression": "1000-387"}),
    ("Divide 144 by 12.", "calculate", {"expression": "144/12"}),
    ("What is the square root of 625?", "calculate", {"expression": "sqrt(625)"}),
    ("Calculate (3 + 4) * 5.", "calculate", {"expression": "(3+4)*5"}),
    ("What is 2 to the power of 10?", "calculate", {"expression": "2**10"}),
    ("What is 15 % of 80?", "calculate", {"expression": "80*0.15"}),
    ("Add 12.5 and 7.25.", "calculate", {"expression": "12.5+7.25"}),
    ("What is 99 times 99?", "calculate", {"expression": "99*99"}),
    ("How much is 7 * 8 - 6?", "calculate", {"expression": "7*8-6"}),
    ("Calculate 1024 / 32.", "calculate", {"expression": "1024/32"}),
    ("What is the sum of 1, 2, 3 and 4?", "calculate", {"expression": "1+2+3+4"}),
    ("Multiply 365 by 24.", "calculate", {"expression": "365*24"}),
    ("Convert 5 miles to kilometers.", "convert_units", {"value": 5, "from_unit": "mile", "to_unit": "km"}),
    ("How many pounds are 10 kilograms?", "convert_units", {"value": 10, "from_unit": "kg", "to_unit": "pound"}),
    ("Convert 70 degF to degC.", "convert_units", {"value": 70, "from_unit": "degF", "to_unit": "degC"}),
    ("How many centimeters are 12 inches?", "convert_units", {"value": 12, "from_unit": "inch", "to_unit": "cm"}),
    ("Convert 3 liters to milliliters.", "convert_units", {"value": 3, "from_unit": "liter", "to_unit": "ml"}),
    ("How many feet are 100 meters?", "convert_units", {"value": 100, "from_unit": "meter", "to_unit": "foot"}),
    ("Convert 90 km/h to m/s.", "convert_units", {"value": 90, "from_unit": "km/h", "to_unit": "m/s"}),
    ("How many grams are 2 ounces?", "convert_units", {"value": 2, "from_unit": "ounce", "to_unit": "g"}),
    ("Convert 4 hours to minutes.", "convert_units", {"value": 4, "from_unit": "hour", "to_unit": "minute"}),
    ("How many gallons are 20 liters?", "convert_units", {"value": 20, "from_unit": "liter", "to_unit": "gallon"}),
    ("Convert 2 days to seconds.", "convert_units", {"value": 2, "from_unit": "day", "to_unit": "second"}),
    ("How many yards are 50 meters?", "convert_units", {"value": 50, "from_unit": "meter", "to_unit": "yard"}),
    ("What is today's date?", "today", {}),
    ("Which day is it today?", "today", {}),
    ("What time is it now?", "today", {}),
    ("Tell me the current date.", "today", {}),
    ("What date is 30 days after 2026-01-15?", "add_to_date", {"date": "2026-01-15", "amount": 30, "unit": "days"}),
    ("What date is 3 weeks after 2026-05-01?", "add_to_date", {"date": "2026-05-01", "amount": 3, "unit": "weeks"}),
    ("Add 2 months to 2026-08-10.", "add_to_date", {"date": "2026-08-10", "amount": 2, "unit": "months"}),
    ("What date is 5 years after 2020-02-29?", "add_to_date", {"date": "2020-02-29", "amount": 5, "unit": "years"}),
    (
        "Which date is 10 workdays after 2026-03-02?",
        "add_to_date",
        {"date": "2026-03-02", "amount": 10, "unit": "workdays"},
    ),
    ("Add 45 days to 2026-11-30.", "add_to_date", {"date": "2026-11-30", "amount": 45, "unit": "days"}),
    (
        "How many days are between 2026-01-01 and 2026-12-25?",
        "days_between",
        {"begin": "2026-01-01", "end": "2026-12-25"},
    ),
    ("Count the days from 2026-03-01 to 2026-04-15.", "days_between", {"begin": "2026-03-01", "end": "2026-04-15"}),
    (
        "How long is it from 2025-06-10 to 2026-06-10 in days?",
        "days_between",
        {"begin": "2025-06-10", "end": "2026-06-10"},
    ),
    (
        "How many workdays are there from 2026-02-02 to 2026-02-27?",
        "days_between",
        {"begin": "2026-02-02", "end": "2026-02-27"},
    ),
    (
        "How many weeks are between 2026-01-05 and 2026-03-30?",
        "days_between",
        {"begin": "2026-01-05", "end": "2026-03-30"},
    ),
    ("Which weekday is 2026-07-14?", "weekday_of", {"date": "2026-07-14"}),
    ("What day of the week was 1969-07-20?", "weekday_of", {"date": "1969-07-20"}),
    ("Is 2026-12-24 a Thursday?", "weekday_of", {"date": "2026-12-24"}),
    ("Tell me the weekday of 2000-01-01.", "weekday_of", {"date": "2000-01-01"}),
    ("In which calendar week is 2026-10-05?", "weekday_of", {"date": "2026-10-05"}),
]
PLAIN_QUESTIONS = [
    "Write a poem about the sea.", "Who wrote Hamlet?", "What is the capital of France?", "Say hello.",
    "Explain what a verb is.", "Name three colours.", "Why is the sky blue?", "Tell me a story about a fox.",
    "What do bees make?", "Thank you!",
]  # fmt: skip
MODES = ("required", "auto", "free")


def compute_interval(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's interval of a share, 95 %."""
    z, share = 1.96, count / total
    middle, spread = share + z * z / (2 * total), z * (share * (1 - share) / total + z * z / (4 * total**2)) ** 0.5
    return (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)


def is_right(tools: dict[str, Tool], call: ToolCall, name: str, arguments: dict[str, Any]) -> bool:
    """Return whether a call gives what the expected one gives."""
    if call.name != name:
        return False
    found, expected = (run_bounded(tools[name], each, 10) for each in (call, ToolCall(name, arguments)))
    # The unit of a conversion may be written in another way: its number counts.
    key = (lambda text: text.partition("=")[2].split()[:1]) if name == "convert_units" else (lambda text: text)
    return not found.is_error and key(found.text) == key(expected.text)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--workspace", default="")
    parser.add_argument("--show", action="store_true", help="print every answer")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(options.workspace or folder, progress=False)
        if not options.workspace:
            workspace.import_model(options.model)
        run_modes(workspace, options.model, options.show)


def run_modes(workspace: Workspace, name: str, should_show: bool) -> None:
    model = workspace.model(name)
    codec: Any = model.load().codec
    call_format, tools = find_call_format(codec), {tool.name: tool for tool in list_built_in_tools()}
    print(f"{name}, calls in the format {call_format.name}; {len(QUESTIONS)} questions for {len(tools)} tools")
    asked = [*(question for question, _, _ in QUESTIONS), *PLAIN_QUESTIONS]
    for mode in MODES:
        is_required = mode == "required"
        described = call_format.describe(list(tools.values()), is_required)
        conversations = [
            add_tools(call_format, codec.chat_template, [Message("user", each)], described) for each in asked
        ]
        grammar = "" if mode == "free" else build_call_grammar(call_format, list(tools.values()), 1, is_required)
        params: dict[str, Any] = {"max_tokens": 64, "temperature": 0.0, "repetition_penalty": 1.0}
        # One by one: the description of the tools, which all share, is read once.
        answers = [answer_unstored(model, [each], grammar=grammar, seed=1, **params)[0] for each in conversations]
        counts = {"call": 0, "tool": 0, "right": 0}
        for (question, tool, expected), answer in zip(QUESTIONS, answers, strict=False):
            calls = parse_answer(call_format, answer, list(tools)).calls
            good = len(calls) == 1 and is_right(tools, calls[0], tool, expected)
            counts["call"] += bool(calls)
            counts["tool"] += any(call.name == tool for call in calls)
            counts["right"] += good
            if should_show:
                print(f"   {'✓' if good else '✗'} {question} → {answer[:100]!r}")
        needless = sum(bool(parse_answer(call_format, each, list(tools)).calls) for each in answers[len(QUESTIONS) :])
        shares = []
        for what, count in counts.items():
            low, high = compute_interval(count, len(QUESTIONS))
            shares.append(f"{what} {count}/{len(QUESTIONS)} = {count / len(QUESTIONS):.0%} [{low:.0%}, {high:.0%}]")
        print(f"{mode:9} {'; '.join(shares)}; needless calls {needless}/{len(PLAIN_QUESTIONS)}", flush=True)
