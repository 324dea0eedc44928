"""`python -m genloom` is the command `genloom`."""

from genloom.cli import main

main()
