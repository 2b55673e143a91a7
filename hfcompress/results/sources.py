"""What a run began with: models and data from outside."""

from __future__ import annotations

from pydantic import Field

from hfcompress.results.records import Record


class SourceModel(Record):
    """A model that the recipe takes and no stage makes, and what its own card says of it.

    Attributes:
        name: `source`, or what the recipe calls a teacher or a student's checkpoint.
        id: a Hub id, or the name of a local folder.
        local: whether it was a folder.
        revision: the commit on the Hub; null for a folder, or when it is not known.
        digest: sha256 over the paths and sha256 of its files.
        license: as the front matter of its README.md names it; null: unknown.
        license_name, license_link: what goes with the license `other`.
        languages: codes, from the same place.
        base_models: what that card names as its own base.
    """

    name: str
    id: str
    local: bool
    revision: str | None = None
    digest: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


class SplitData(Record):
    """The rows of one split, after the recipe's cap.

    Attributes:
        name: the dataset's own name of the split.
        rows: how many.
        digest: sha256 over the columns and rows.
    """

    name: str
    rows: int
    digest: str


class DataSource(Record):
    """Where the rows of a run came from.

    Attributes:
        path: a Hub id, or the name or relative path of local files.
        local: whether it was on this machine.
        subset, revision: of a Hub dataset; null: its default.
        max_length: tokens after which text was cut.
        splits: role, or `unlabeled` -> its rows.
    """

    path: str
    local: bool
    subset: str | None = None
    revision: str | None = None
    max_length: int
    splits: dict[str, SplitData] = Field(default_factory=dict)
