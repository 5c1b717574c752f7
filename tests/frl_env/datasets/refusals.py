"""What holds whenever a broken table is refused: no cell of it in the message, no file left behind."""

from pathlib import Path

SECRET = "Zebulon"
"""Stands in every cell of text that no message may quote."""

SECRET_NUMBER = 918273.5

ID = "tests/broken-v0"


def nothing_left(store: Path) -> None:
    assert [str(f) for f in store.rglob("*") if f.is_file() and not f.name.endswith(".lock")] == []


def check_refusal(message: str, store: Path) -> None:
    for secret in (SECRET, str(SECRET_NUMBER)):
        assert secret not in message
    nothing_left(store)
