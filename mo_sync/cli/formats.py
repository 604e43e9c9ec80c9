"""The forms that rows are written in for other programs: CSV, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from mo_sync.cells import secured
from mo_sync.errors import ConfigurationError, how_to_install

__all__ = ["Form", "lines", "parquet"]

Row = Mapping[str, Any]
_ROW_GROUP: Final = 10_000
_ROW_GROUP_CHARS: Final = 16_000_000


class Form(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def lines(form: Form, columns: Iterable[str], rows: Iterable[Row]) -> Iterator[str]:
    """The rows as text, each with its end of line; CSV begins with the names."""
    if form is Form.JSONL:
        for row in rows:
            yield json.dumps(row, default=_told, ensure_ascii=False) + "\n"
        return
    names = list(columns)
    yield _csv(names)
    for row in rows:
        yield _csv([_cell(row[name]) for name in names])


def parquet(path: Path, columns: Mapping[str, type], rows: Iterable[Row], *, told: Callable[[int], object]) -> None:
    """Write all ``rows`` to ``path``, in groups of some thousands. Raises ConfigurationError without pyarrow.

    ``told`` is called with how many more are written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        summary, hint = f"the library for it is not installed ({error.name})", how_to_install("pyarrow")
        raise ConfigurationError("parquet-missing", summary, item="--format parquet", hint=hint) from error
    kinds = {str: pa.string(), int: pa.int64(), datetime: pa.timestamp("us", tz="UTC")}
    schema = pa.schema([pa.field(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for some in _groups(rows):
            file.write_table(pa.Table.from_pylist([dict(row) for row in some], schema=schema))
            told(len(some))


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """So large that they compress well, and so small that they fit into memory whatever is in them."""
    group: list[Row] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(group) >= _ROW_GROUP or chars >= _ROW_GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _csv(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return _told(value)
    return secured(value) if isinstance(value, str) else value


def _told(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
