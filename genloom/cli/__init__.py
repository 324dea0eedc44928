"""The command line: `genloom VERB …`; every verb is one file of genloom/cli/commands."""

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

_MAX_MESSAGE_CHARS = 4000
_FILES_VERBS = frozenset(("collect", "copies", "verify"))  # whose arguments are files
_FILE_VERBS = (  # whose first argument is one
    _FILES_VERBS | {"ask", "classify", "embed", "import", "summarize", "transcribe", "translate", "upscale"}
)
_MEMORY_PHRASES = ("allocate memory", "failed to map segment", "out of memory", "can't start new thread")
_END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_MIN_COLUMNS, _USUAL_COLUMNS, _MAX_COLUMNS = 40, 80, 400  # of the help


def main() -> None:
    """Run this process's command and exit.

    The exit codes: 0 done, 1 problems found, 2 wrong use or input, 3 a bug of ours, 130 interrupted. SIGTERM and SIGHUP
    also end the process only when nothing is left half-written, and are what it ends by.
    """
    _catch_end_signals()
    _open_closed_streams()
    _bound_columns()
    # A name that the terminal's encoding lacks must not fail a command that has done its work.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Output(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _ErrorOutput(sys.stderr)
    if isinstance(sys.stdin, io.TextIOWrapper):  # else a byte that is no text would cost the lines read with it
        sys.stdin.reconfigure(errors="replace")
    try:
        exit_code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, like `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        exit_code = 141
    except _EndSignal as end:
        _report_stop()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)
        exit_code = 128 + end.number  # not reached, unless the system delays the signal
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        exit_code = 141  # of the library that prints the help
    except KeyboardInterrupt:  # while modules are loaded
        exit_code = _report_stop()
    except Exception as error:  # a bug of ours
        exit_code = _report_bug(error)
    _release_end_signals()
    sys.exit(exit_code)


class _EndSignal(SystemExit):
    """A signal that asks this process to end; like Ctrl-C, it leaves open files and folders by their cleaning up."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _catch_end_signals() -> None:
    """Let SIGTERM and SIGHUP raise `_EndSignal`, unless they are ignored, as by nohup; a second one ends at once."""

    def raise_end(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _EndSignal(number)

    for number in _END_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, raise_end)


def _release_end_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end this process at once: Python's own end has no place for an error."""
    for number in (signal.SIGINT, *_END_SIGNALS):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class _Output(io.TextIOWrapper):
    """Standard output, whose errors are not taken for those of the workspace."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, errors="replace", line_buffering=stream.line_buffering)
        self.stream = stream  # which would close the buffer when nothing refers to it

    def write(self, s: str, /) -> int:
        with _name_output():
            return super().write(s)

    def flush(self) -> None:
        with _name_output():
            super().flush()


class _ErrorOutput(io.TextIOWrapper):
    """Standard error, to which nothing can be told once its terminal is closed."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, errors="replace", line_buffering=True)
        self.stream = stream

    def write(self, s: str, /) -> int:
        with _ignore_closed_terminal():
            return super().write(s)
        return len(s)

    def flush(self) -> None:
        with _ignore_closed_terminal():
            super().flush()


@contextmanager
def _ignore_closed_terminal() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


@contextmanager
def _name_output() -> Generator[None]:
    """Raise GenloomError for an error of standard output, unless its reader has closed it."""
    from genloom.errors import GenloomError

    try:
        yield
    except BrokenPipeError:
        raise  # handled by `main`
    except OSError as error:
        raise GenloomError("cli.output_unwritable", reason=(error.strerror or str(error)).lower()) from error


def _open_closed_streams() -> None:
    """Open the null device in place of a standard stream that the caller has closed, as with `>&-`.

    Else the first file that is opened would take its number, and whatever is printed would be written into it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  # for the whole process
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _bound_columns() -> None:
    """Let COLUMNS be a width in which the help can be printed: with 0 that would never end."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit():
        width = int(columns) if columns.isascii() and len(columns) < 10 else 0
        os.environ["COLUMNS"] = str(min(max(width, _MIN_COLUMNS), _MAX_COLUMNS) if width else _USUAL_COLUMNS)


def _report_stop() -> int:
    with suppress(OSError):  # of a terminal that was closed
        print("genloom: stopped", file=sys.stderr)
    return 130


def _report_bug(error: Exception) -> int:
    """Write the traceback of a bug to a file, name it in one line on standard error, and return exit code 3."""
    import tempfile
    import traceback

    from genloom.errors import format_message
    from genloom.text_format import remove_controls

    kind = type(error).__name__
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="genloom-report-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.writelines(traceback.format_exception(error))
        line = format_message("cli.bug", kind=kind, reason=str(error)[:300], path=file.name)
    except OSError:
        line = format_message("cli.bug_without_report", kind=kind, reason=str(error)[:300])
    print(f"genloom: {remove_controls(' '.join(line.split()))}", file=sys.stderr)
    return 3


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; an error that the user can fix is one line on standard error."""
    from cyclopts import CycloptsError

    from genloom.cli.app import app
    from genloom.cli.output_path import note_folders, note_replacements
    from genloom.errors import GenloomError
    from genloom.option_names import set_caller
    from genloom.program import repeat_options

    set_caller("command")
    try:
        _check_paths(arguments)
        note_folders(arguments)
        exit_code = app(
            _join_hyphen_values(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        from genloom.cli.usage_errors import build_usage_error

        return _print_error(build_usage_error(error), arguments)
    except UnicodeEncodeError as error:
        argument = next((each for each in arguments if error.object[error.start : error.end] in each), None)
        if argument is None:  # no input of the user: a bug of ours
            raise
        return _print_error(GenloomError("cli.not_unicode", argument=argument), arguments)
    except ValueError as error:
        return _print_error(error, arguments)
    except BrokenPipeError:
        raise  # handled by `main`
    except OSError as error:
        if error.errno is None:  # not from the system: a bug of ours
            raise
        from genloom.store.files import describe_error

        print(f"genloom: {_shorten_message(describe_error(error))}", file=sys.stderr)
        return 2
    except (MemoryError, ImportError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        from genloom.errors import format_message

        print(f"genloom: {format_message('cli.out_of_memory')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _report_stop()
    finally:
        note_replacements()
        repeat_options()
        set_caller("python")
    return exit_code if isinstance(exit_code, int) else 0


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether the system gave no memory to Python, to the loader of a library, or to torch."""
    reason = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in reason for phrase in _MEMORY_PHRASES)


def _check_paths(arguments: list[str]) -> None:
    """Raise GenloomError for an empty path, as of an unset variable of a shell: it would be the current folder."""
    from genloom.errors import GenloomError

    is_empty = any(option == "--out" and not value.strip() for option, value in pairwise(arguments))
    if is_empty or any(option.partition("=")[::2] == ("--out", "") for option in arguments if "=" in option):
        raise GenloomError("cli.out_empty")
    verb, *given = arguments or [""]
    positions = [n for n, value in enumerate(given) if not value.strip()] if verb in _FILE_VERBS else []
    if any(n == 0 or (verb in _FILES_VERBS and not given[n - 1].startswith("-")) for n in positions):
        raise GenloomError("cli.path_empty", verb=verb)


def _join_hyphen_values(arguments: list[str]) -> list[str]:
    """Return the arguments with values like "-- hi" joined to their option: no option has a blank in its name."""
    joined: list[str] = []
    for argument in arguments:
        is_value = argument.startswith("-") and " " in argument.partition("=")[0]
        if is_value and joined and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _print_error(error: Exception, arguments: list[str]) -> int:
    """Print the error and return exit code 2. With GENLOOM_ERROR_CODES set, its code follows in brackets.

    With `--json`, it is then also printed as JSON.
    """
    from genloom.errors import GenloomError, to_sentence

    message = _shorten_message(to_sentence(error))
    if not isinstance(error, GenloomError) or not os.environ.get("GENLOOM_ERROR_CODES"):
        print(f"genloom: {message}", file=sys.stderr)
        return 2
    print(f"genloom: {message} [{error.code}]", file=sys.stderr)
    if "--json" in arguments:
        print(json.dumps({"error": {"code": error.code, "message": message}}, ensure_ascii=False))
    return 2


def _shorten_message(message: str) -> str:
    """Return a message as one line without characters that control a terminal or megabytes of a damaged file."""
    from genloom.text_format import remove_controls

    message = remove_controls(" ".join(message.splitlines()))  # the name of a file may hold line breaks
    return message if len(message) <= _MAX_MESSAGE_CHARS else f"{message[:_MAX_MESSAGE_CHARS]} …"
