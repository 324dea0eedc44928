"""Seconds from nothing to `genloom --help` and to `import genloom`, as whole processes."""

import shlex
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "genloom --help": [sys.executable, "-c", "from genloom.cli import main; main()", "--help"],
    "import genloom": [sys.executable, "-c", "import genloom"],
    "python -c pass (the floor)": [sys.executable, "-c", "pass"],
}


def main() -> None:
    for name, command in COMMANDS.items():
        times = []
        for _ in range(11):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - begun)
        times.sort()
        print(
            f"{name:28s} {statistics.median(times):.3f} s [{times[0]:.3f}, {times[-1]:.3f}]  {shlex.join(command[1:])}"
        )


if __name__ == "__main__":
    main()
