"""What sources of tables say: which column holds what, and how boxes are written."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.section import Known, Section
from active_perception_r1.config.sources._dataset import BoxUnit, Dataset
from active_perception_r1.registry import Registry

BoxFormat = Literal["xyxy", "xywh"]


class Format(Protocol):
    """What the configuration asks a format."""

    task: str


# Named, not imported: what reads them stands above the configuration.
FORMATS: Registry[Format] = Registry("active_perception_r1.data.formats", "FORMAT")


class Columns(Section):
    """Which column holds what; with dots into structs, such as `query.en`."""

    id: str | None = Field(default=None, description="names the row; null makes it of its content")
    doc_id: str | None = Field(
        default=None, description="names the page; null: equal images are one page"
    )
    image: str | None = Field(
        default=None,
        description="the encoded page: bytes, base64, a path from the file on, or {bytes, path}",
    )
    question: str | None = Field(default=None, description="the question")
    answers: str | None = Field(
        default=None,
        description="what is right: a text or several; with options also a letter, or an index"
        " from 0",
    )
    options: str | list[str] | None = Field(
        default=None,
        description="texts to choose from, without letters: a column of lists, or a column each",
    )
    evidence: str | None = Field(
        default=None,
        description="where the answer stands: boxes, all of which count, or {label, box}, where"
        " equal labels are alternatives",
    )
    words: str | None = Field(default=None, description="words of the page, as OCR read them")
    bounding_boxes: str | None = Field(default=None, description="one box for each word")
    requires_zoom: str | None = Field(
        default=None,
        description="whether only a zoom shows the answer; null: if its evidence is small",
    )
    layout: str | None = Field(default=None, description="the kind of page")


class TableDataset(Dataset):
    """A dataset that comes as a table."""

    decisive = Decisive(
        (
            "source",
            "format",
            "columns.id",
            "columns.doc_id",
            "columns.image",
            "columns.question",
            "columns.answers",
            "columns.options",
            "columns.evidence",
            "columns.words",
            "columns.bounding_boxes",
            "columns.requires_zoom",
            "columns.layout",
            "box_format",
            "box_unit",
            "option_seed",
        )
    )

    format: Annotated[str, Known(FORMATS)] | None = Field(
        default=None, description="how its rows are laid out"
    )
    columns: Columns = Field(
        default=Columns(), description="which column holds what, where the format does not say it"
    )
    box_format: BoxFormat | None = Field(
        default=None,
        description="how boxes are written: two corners (x0 y0 x1 y1), or a corner with width and"
        " height; null is the format's, or else corners",
    )
    box_unit: BoxUnit | None = Field(
        default=None,
        description="what coordinates count: shares of the page, thousandths of it or pixels; null"
        " is the format's, or else found out from all boxes of the split",
    )

    option_seed: int = Field(
        default=0,
        description="of the shuffle of options, where a format always has the right one first",
    )

    @property
    def stated_unit(self) -> BoxUnit | None:
        return self.box_unit

    @property
    def layout(self) -> str:
        """Name of the format of its rows, whether that is said or follows."""
        return self.format or "columns"

    @property
    def task(self) -> str:
        return FORMATS[self.layout].task

    @property
    def maps_options(self) -> bool:
        return self.columns.options is not None
