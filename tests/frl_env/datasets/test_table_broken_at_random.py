"""Anything in a cell, anything in a file: an import ends well, or in an error meant for people."""

import contextlib
import random
import string

import pyarrow as pa
import pyarrow.feather
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import ID

from frl_env.datasets.table_import import ImportOptions, import_table
from frl_env.errors import UserError

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=8),
    st.sampled_from(["NONE", "1e999", "2024-02-30", "0x10", "\x00", "٣", "1_000", "nan", "true", "1 000"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    cells=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 40), CELLS), max_size=6),
    dropped=st.lists(st.integers(0, 29), max_size=1),
    on_error=st.sampled_from(["fail", "drop", "clip"]),
    text=st.booleans(),
)
def test_whatever_stands_in_a_table(whole_table, tmp_path, empty_store, cells, dropped, on_error, text):
    """Any cell may hold anything: an import ends well, or in an error meant for people, and never half way."""
    table = whole_table.iloc[:48].astype(object)
    for column, row, value in cells:
        table.iat[row, column] = value
    table = table.drop(columns=table.columns[dropped])
    file = tmp_path / ("table.csv" if text else "table.parquet")
    try:
        table.to_csv(file, index=False) if text else table.to_parquet(file)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeEncodeError):
        return
    said = ""
    try:
        import_table(file, ID, options=ImportOptions(on_error=on_error), force=True).load()
    except UserError as problem:
        said = str(problem)
    for _, _, value in cells:
        assert not (isinstance(value, str) and len(value) > 4 and value in said)
    assert not list(empty_store.rglob("*.arrow"))
    assert not list(empty_store.rglob(".*building*"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 10**6), ending=st.sampled_from(["parquet", "csv", "arrow"]))
def test_whatever_a_file_holds(whole_table, tmp_path, empty_store, seed, ending):
    """Bytes flipped, cut out and put in anywhere."""
    rng = random.Random(seed)
    file = tmp_path / f"table.{ending}"
    small = whole_table.iloc[:30]
    if ending == "csv":
        small.to_csv(file, index=False)
    elif ending == "parquet":
        small.to_parquet(file)
    else:
        pyarrow.feather.write_feather(pa.Table.from_pandas(small), str(file), compression="uncompressed")
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        content[place : place + rng.choice([0, 1, 20])] = rng.choices(
            string.printable.encode() + bytes([0, 255]), k=rng.choice([0, 1, 3])
        )
    file.write_bytes(content)
    with contextlib.suppress(UserError):
        import_table(file, ID, force=True)
    assert not list(empty_store.rglob("*.arrow"))
