"""Tables of any layout: the dataset's section says which column holds what."""

from __future__ import annotations

import re

from active_perception_r1.config.sources._table import Columns, TableDataset
from active_perception_r1.data.formats import docvqa
from active_perception_r1.data.formats._format import Opened, Split, Table
from active_perception_r1.data.formats._table import TableFormat
from active_perception_r1.errors import DataError

REQUIRED = ("image", "question", "answers")


class FreeColumns(TableFormat):
    """What is not said is the column of the same name, if there is one.

    Where nothing is said and the columns are those of DocVQA-1200, that is what it is.
    """

    def open(self, source: Opened, dataset: TableDataset, split: str) -> Split:
        columns = source.table(split).columns
        if dataset.columns == Columns() and set(docvqa.REQUIRED) <= set(columns):
            return docvqa.FORMAT.open(source, dataset, split)
        return super().open(source, dataset, split)

    def found_columns(self, given: Columns, table: Table) -> Columns:
        said = given.model_dump(exclude_none=True)
        if "image" not in said and any(re.fullmatch("image_?[2-9]", c) for c in table.columns):
            raise DataError(
                f"{table.name}: several pages in a question (columns image_1, image_2, ...) are not"
                " supported; keep the questions about one page, and name its column by"
                " `columns: {image: NAME}`"
            )
        there = {key: key for key in Columns.model_fields if key in table.columns}
        for key in REQUIRED:
            if key not in said and key not in there:
                raise DataError(
                    f"{table.name}: no column '{key}'; say which one it is by"
                    f" `columns: {{{key}: NAME}}` (there are: {', '.join(table.columns) or 'none'})"
                )
        return super().found_columns(Columns(**(there | said)), table)


FORMAT = FreeColumns()
