"""The header of a CSV file: which field each column has, and what its name says of its cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.ingest.business.cell_values import CellError, CellFormat, normalise_word
from pipeline.ingest.business.csv_encoding import CsvFileError
from pipeline.ingest.business.csv_tables import Column, CsvTable
from pipeline.ingest.business.currencies import decimals_of, is_ambiguous_symbol, read_currency
from pipeline.ingest.business.rating_scales import NPS, Scale, scale_of, without_scale
from pipeline.ingest.business.shop_presets import preset_of
from schemas.dead_letters import RejectCode

# `金额（元）`, `Total (USD)`, `Amount EUR`, `total_eur`.
_BRACKETS = {")": "(", "）": "（", "]": "[", "】": "【"}
_CODE_AT_END = re.compile(r"[ _-]([A-Za-z]{3})\Z")
# The name of a currency is shorter.
_MAX_UNIT = 20
# Codes that are words of headers, too: TOTAL ALL.
_WORDS = frozenset({"ALL", "TOP", "TRY", "CUP", "PEN", "GEL", "MAD", "SOS"})


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of the file: its cell index, its header, and its field if it is known.

    `currency` and `scale` are those that the header names.
    """

    index: int
    header: str
    target: Column | None
    currency: str | None = None
    scale: Scale | None = None


@dataclass(frozen=True)
class HeaderReader:
    """Reads the headers of one kind of file."""

    table: CsvTable
    cell_format: CellFormat

    @cached_property
    def _columns(self) -> dict[str, Column]:
        """The columns by every name they may have; the first column that lists a name wins."""
        by_name: dict[str, Column] = {}
        for column in self.table.columns:
            for name in column.names:
                by_name.setdefault(normalise_word(name), column)
        return by_name

    @cached_property
    def _by_field(self) -> dict[str, Column]:
        return {column.field: column for column in self.table.columns}

    def count_known(self, header: Sequence[str]) -> int:
        """Return how many names of a header are known."""
        return sum(
            self._column(index, name).target is not None for index, name in enumerate(header)
        )

    def is_complete(self, header: Sequence[str]) -> bool:
        """Return whether a header has all columns that the kind needs."""
        return not self._missing(self.columns(header))

    def columns(self, header: Sequence[str]) -> list[FileColumn]:
        """Return the columns of a header."""
        preset = preset_of(self.table.kind, header)
        columns = []
        for index, name in enumerate(header):
            field = preset.get(normalise_word(name)) if preset else None
            if field is None:
                columns.append(self._column(index, name))
            else:
                columns.append(FileColumn(index, name, self._by_field.get(field)))
        return columns

    def checked_columns(self, header: Sequence[str]) -> list[FileColumn]:
        """Return the columns of a header; raises CsvFileError if a required one is missing."""
        columns = self.columns(header)
        if group := self._missing(columns):
            accepted = ", ".join(name for field in group for name in self._by_field[field].names)
            raise CsvFileError(
                RejectCode.SCHEMA_MISSING_FIELD,
                f"the header has no column for {' or '.join(group)}; accepted names are"
                f" {accepted}. The header is: {', '.join(header)[:400]}",
            )
        return columns

    def _missing(self, columns: Sequence[FileColumn]) -> tuple[str, ...]:
        fields = {column.target.field for column in columns if column.target}
        return next((group for group in self.table.needs if not fields.intersection(group)), ())

    def _column(self, index: int, header: str) -> FileColumn:
        scale = scale_of(header) if "rating" in self._by_field else None
        if target := self._columns.get(normalise_word(header)):
            return FileColumn(
                index, header, target, scale=scale if target.field == "rating" else None
            )
        if scale is not None:
            name = normalise_word(without_scale(header))
            target = self._columns.get(name) if name else self._by_field["rating"]
            # How likely are you to recommend us (0-10)?
            if (
                target is None
                and scale == NPS
                and "recommend" in name
                and name != normalise_word(header)
            ):
                target = self._by_field["rating"]
            if target and target.field == "rating":
                return FileColumn(index, header, target, scale=scale)
        return self._money_column(index, header)

    def _money_column(self, index: int, header: str) -> FileColumn:
        """Return the column of an amount whose unit stands in the header."""
        name, unit = _split_unit(header.strip())
        target = self._columns.get(normalise_word(name)) if unit else None
        # 金额(万元) has another unit than the currency's own; Total (tax) is another sum.
        if not target or not target.is_money:
            return FileColumn(index, header, None)
        try:
            currency = read_currency(unit, self.cell_format)
        except CellError:
            # 金额(元) without a region: each row needs another column, or asks.
            return FileColumn(index, header, target if is_ambiguous_symbol(unit) else None)
        known = decimals_of(currency) is not None
        return (
            FileColumn(index, header, target, currency)
            if known
            else FileColumn(index, header, None)
        )


def _split_unit(header: str) -> tuple[str, str]:
    """Return the name of a column and the unit behind it, or an empty unit.

    >>> _split_unit("Total (USD)"), _split_unit("total_eur"), _split_unit("total")
    (('Total', 'USD'), ('total', 'eur'), ('total', ''))
    """
    if opening := _BRACKETS.get(header[-1:]):
        start = header.rfind(opening, -_MAX_UNIT - 2)
        if start > 0:
            return header[:start].strip(), header[start + 1 : -1].strip()
    match = _CODE_AT_END.search(header[-4:])
    if match and match[1].upper() not in _WORDS:
        return header[:-4].strip(), match[1]
    return header, ""
