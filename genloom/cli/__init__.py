"""The command line: `genloom VERB …`; every verb is one file."""

import io
import os
import sys


def main() -> None:
    """Run this process's command and exit: 0 done, 1 something is wrong, 2 wrong use or input, 130 stopped."""
    # A name in another alphabet than the terminal's must not end a command that has done its work.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        exit_code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output, like `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        exit_code = 141
    sys.exit(exit_code)


def run(arguments: list[str]) -> int:
    """Carry out one command and return its exit code; what the user can mend is one line on standard error."""
    from cyclopts import CycloptsError, UnknownCommandError

    from genloom.cli.app import app, format_unknown_verb

    try:
        exit_code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UnknownCommandError as error:
        print(f"genloom: {format_unknown_verb(error)}", file=sys.stderr)
        return 2
    except (CycloptsError, ValueError) as error:
        print(f"genloom: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise  # `main` knows what it means
    except OSError as error:
        if error.errno is None:  # nothing that the system said, so it is a fault of ours
            raise
        from genloom.store.files import describe_error

        print(f"genloom: {describe_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("genloom: stopped", file=sys.stderr)
        return 130
    return exit_code if isinstance(exit_code, int) else 0
