"""Values that no program may take, by what an option asks for: the table behind `test_bad_values.py`."""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NUMBERS = (
    "x", "nan", "inf", "-inf", "-1", "1.5", "1e400", "9" * 400, "1,000", "0x10", "--", "None", "1e", "99999999999",
    "-0.5", "1;2", "\u0663x", "true",
)  # fmt: skip
DATASETS = (
    ".", "..", "../folder", "/", "team", "glob/*", "data/care-v0", "frl/medicaid-synthetic-v9", "frl/nothing-v0",
    "frl/medicaid-synthetic-v00", "team/care", "x" * 300 + "-v0", "frl//medicaid-synthetic-v0", "-v0 ", "%2e/care-v0",
    "cafe\u0301-v0", "frl/medicaid-synthetic-v" + "1" * 400, "~/care-v0", "frl\\medicaid-synthetic-v0", "[a-z]-v0",
)  # fmt: skip
ALGORITHMS = (
    ":", "a:", ":b", ",", "nothing", "no.such.module:Thing", "json:nothing", "json:dumps", "../x:Y", "x" * 5_000,
    "factored_awr,", "factored_awr,nothing", "FACTORED_AWR", "::", ".:.", "a:b:c", "\u00e9", "*", "json:__doc__", "/",
)  # fmt: skip
CHOICES = ("nothing", "0", " ", "x" * 5_000, "\u00e9", "ALL", "*", "parity,need", "None")
NEW_FOLDERS = ("{file}", "{file}/below", "/proc/nothing/here", "{folder}/" + "x" * 300, "/dev/null", "/dev/null/x")
NEW_FILES = ("{folder}", "{folder}/none/x{end}", "{file}/x{end}", "/proc/x{end}", "x" * 300 + "{end}",
             "/dev/null/x{end}", "{folder}/a\nb/x{end}", ".", "/")  # fmt: skip
FILES = (
    "{folder}/none.toml", "{folder}", "{file}/x", "{empty}", "{binary}", "{deep_toml}", "{deep_json}", "{digits}",
    "x" * 300, "/proc/nothing", "{folder}/*", "~", "{text}",
)  # fmt: skip
BUDGETS = (
    "x", "nan", "inf", "-1", "9" * 400, ",", "1,1", "team,x", "1e400", "none.toml", "{deep_toml}", "{digits}",
    "{empty}", "{binary}", "{folder}/none.toml", "0x1", "-inf",
)  # fmt: skip
LISTS = ("x", "nan", "-1", "inf", "1,x", "9" * 400 + "x", "0.1;0.2")

WORDS = ("x", "=", "week", "nothing", " ", "None", "x" * 300, "\u00e9")
AMOUNTS = ("x", "-1", "nan", "GB", "0", "9" * 400 + "x", "3 elephants", "inf")

STATES = ("x", "num_calls", "NUM_CALLS_LAST_WEEK", "0", "none,x", "a=b", " ", "\u00e9", "x" * 5_000, "*", "--")
FACTORS = ("x", "modality,goal", "Modality", "PHONE_CALL", "0", " ", "\u00e9", "x" * 5_000, "--")
LEVELS = ("x", ",", "NONE,x", "home_visit", "PHONE_CALL,,", "0", " ", "\u00e9", "x" * 5_000, "modality=1", "--")
INDICATIONS = (
    "x", "=", "DIABETES=", "=total_paid", "DIABETES=x", "x=total_paid", "DIABETES=total_paid,", ",", "a=b=c", " ",
    "DIABETES=total_paid,DIABETES=enrolled_days", "\u00e9=\u00e9", "x" * 5_000, "--",
)  # fmt: skip

POOLS = {
    "text": (),
    "state": STATES,
    "factor": FACTORS,
    "levels": LEVELS,
    "indications": INDICATIONS,
    "new dataset": tuple(each for each in DATASETS if each not in ("frl/nothing-v0", "frl/medicaid-synthetic-v9")),
    "word": WORDS,
    "amount": AMOUNTS,
    "number": NUMBERS,
    "dataset": DATASETS,
    "algorithm": ALGORITHMS,
    "choice": CHOICES,
    "new folder": NEW_FOLDERS,
    "new file": NEW_FILES,
    "file": FILES,
    "budgets": BUDGETS,
    "numbers": LISTS,
}

GENERAL = (
    ["--nothing"], ["--nothing=1"], ["-?"], ["--=x"], ["---"], ["-"], ["extra", "words", "here"], ["--\u00e9"],
    ["--" + "x" * 5_000], ["x" * 5_000, "y", "z", "w"], ["--seed-of-nothing", "1"], ["-z9"], ["--0"], ["--*"],
    ["-1"], ["--help-me"],
)  # fmt: skip
"""What no program understands, whatever its options."""


@dataclass(frozen=True)
class Program:
    """A program and what its options ask for.

    Attributes:
        name: Of the program, and of its subcommand.
        base: Arguments without which nothing can be said of the others.
        options: By option (or `<place>` of an argument) what it asks for, a key of `POOLS`.
        fine: Values of the pools that an option takes, by option.
        ends: Ending of new files, by option.
        flags: Options without a value.
    """

    name: str
    base: tuple[str, ...]
    options: dict[str, str]
    fine: dict[str, tuple[str, ...]]
    ends: dict[str, str]
    flags: tuple[str, ...] = ()

    def lines(self) -> Iterator[list[str]]:
        """Command lines, each with one fault."""
        for option, kind in self.options.items():
            for value in ("", *POOLS[kind]):
                if value in self.fine.get(option, ()):
                    continue
                value = value.replace("{end}", self.ends.get(option, ""))
                if option.startswith("<"):
                    place = int(option[1:-1])
                    yield [*self.base[:place], "--", value, *self.base[place + 1 :]]
                else:
                    yield [*self.base, f"{option}={value}"]
            if not option.startswith("<"):
                yield [*self.base, option]
        for flag in self.flags:
            yield [*self.base, f"{flag}=1"]
        for words in (*GENERAL, *(["--", *[word] * 5] for word in (*NUMBERS[1:6], *DATASETS))):
            yield [*self.base, *words]


def some(lines: Sequence[list[str]], number: int, seed: int) -> list[list[str]]:
    """A few of them, drawn from all over."""
    return random.Random(seed).sample(list(lines), min(number, len(lines)))


def options_of(parser: argparse.ArgumentParser, kinds: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the options of a parser ask for, and those without a value.

    Args:
        parser: Of a program.
        kinds: Of options whose type does not say it; of others any text will do, but for none at all.

    """
    found, flags = {}, []
    for action in parser._actions:
        if not action.option_strings or action.dest == "help":
            continue
        option = action.option_strings[-1]
        if action.nargs == 0:
            flags.append(option)
        elif action.type in (int, float):
            found[option] = "number"
        elif action.choices is not None:
            found[option] = "choice"
        else:
            found[option] = kinds.get(option, "text")
    return found, tuple(flags)


def make_places(folder: Path) -> dict[str, str]:
    """Files that no program can use, by the word that stands for each in the pools."""
    made = {"folder": folder / "a folder", "file": folder / "a file.html"}
    made["folder"].mkdir()
    contents: dict[str, bytes] = {
        "file": b"mine",
        "empty.toml": b"",
        "binary.toml": bytes(range(256)),
        "deep_toml.toml": b"a = " + b"[" * 10_000 + b"]" * 10_000,
        "deep_json.json": b"[" * 10_000 + b"]" * 10_000,
        "digits.toml": b"minutes = " + b"9" * 400 + b"\n",
        "text.txt": b"some text\n",
    }
    for name, content in contents.items():
        place = made.get(name, folder / name)
        place.write_bytes(content)
        made[name.partition(".")[0]] = place
    return {name: str(place) for name, place in made.items()}
