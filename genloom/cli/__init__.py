"""The command line: `genloom VERB …`; every verb is one file of genloom/cli/commands."""

import io
import json
import os
import sys


def main() -> None:
    """Run this process's command and exit: 0 done, 1 problems found, 2 wrong use or input, 130 interrupted."""
    # A name that the terminal's encoding lacks must not fail a command that has done its work.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        exit_code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, like `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        exit_code = 141
    sys.exit(exit_code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; an error that the user can fix is one line on standard error."""
    from cyclopts import CycloptsError, UnknownCommandError

    from genloom.cli.app import app, build_unknown_verb_error

    try:
        exit_code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UnknownCommandError as error:
        return _print_error(build_unknown_verb_error(error), arguments)
    except (CycloptsError, ValueError) as error:
        return _print_error(error, arguments)
    except BrokenPipeError:
        raise  # handled by `main`
    except OSError as error:
        if error.errno is None:  # not from the system: a bug of ours
            raise
        from genloom.store.files import describe_error

        print(f"genloom: {describe_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("genloom: stopped", file=sys.stderr)
        return 130
    return exit_code if isinstance(exit_code, int) else 0


def _print_error(error: Exception, arguments: list[str]) -> int:
    """Print the error and return exit code 2. With GENLOOM_ERROR_CODES set, its code follows in brackets.

    With `--json`, it is then also printed as JSON.
    """
    from genloom.errors import GenloomError

    coded_error = error if isinstance(error, GenloomError) else error.__cause__
    if not isinstance(coded_error, GenloomError) or not os.environ.get("GENLOOM_ERROR_CODES"):
        print(f"genloom: {error}", file=sys.stderr)
        return 2
    print(f"genloom: {error} [{coded_error.code}]", file=sys.stderr)
    if "--json" in arguments:
        print(json.dumps({"error": {"code": coded_error.code, "message": str(error)}}, ensure_ascii=False))
    return 2
