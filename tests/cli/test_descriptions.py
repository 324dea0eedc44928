"""Options that are parameters of the Python API too have one description, in the words of each."""

from inspect import getdoc

import pytest

from genloom.cli.descriptions import describe_like, read_descriptions, to_help


def verb() -> None:
    """Do something.

    Parameters
    ----------
    steps, minutes
        Exact number of steps; `num_steps` overrides it.
    threads
        Number of threads, e.g. 1.5
        million. 0: all cores.

    Returns
    -------
    None
        Nothing.
    """


def test_descriptions_are_read_by_name() -> None:
    steps = "Exact number of steps; `num_steps` overrides it."
    threads = "Number of threads, e.g. 1.5 million. 0: all cores."
    assert read_descriptions("Do something.") == {}
    assert read_descriptions(getdoc(verb) or "") == {"steps": steps, "minutes": steps, "threads": threads}


@pytest.mark.parametrize(
    ("description", "help_text"),
    [
        ("Number of threads. 0: all cores.", "Number of threads. [default: all cores]"),
        ('Name. "": that of the data set, e.g. a.b.', "Name. [default: that of the data set, e.g. a.b]"),
        ("Budget; `from_` and `save_steps` bound it.", "Budget; --from and --save-steps bound it."),
        ("auto: dpo or kto, by the ratings.", "auto: dpo or kto, by the ratings."),
    ],
)
def test_help_says_options_and_defaults(description: str, help_text: str) -> None:
    assert to_help(description) == help_text


def test_a_command_has_the_descriptions_that_it_lacks() -> None:
    @describe_like(verb)
    def run_described(steps: int = 0, threads: int = 0) -> None:
        """Run it.

        Parameters
        ----------
        steps
            Its own words.
        """

    @describe_like(verb)
    def run_undescribed(threads: int = 0) -> None: ...

    threads = "Number of threads, e.g. 1.5 million. [default: all cores]"
    assert read_descriptions(run_described.__doc__ or "") == {"steps": "Its own words.", "threads": threads}
    assert read_descriptions(run_undescribed.__doc__ or "") == {"threads": threads}
