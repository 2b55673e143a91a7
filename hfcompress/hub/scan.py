"""What must not leave this machine: the last look at every byte before it is sent."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hfcompress.credentials import LONGEST, find_credentials, hide_credentials
from hfcompress.errors import LeakError
from hfcompress.hub.local_paths import local_places
from hfcompress.hub.publication import Publication, PublishedFile
from hfcompress.hub.strings import strings, wide_strings
from hfcompress.intake.json_text import LARGEST_FILE
from hfcompress.intake.pickles import holds_pickle, is_pickle_name

#: Bytes read at once.
_PIECE = 1 << 20
#: Findings of one file that are told; more say nothing more.
_MOST_TOLD = 5
#: Characters of a path that are shown.
_SHOWN = 80
#: State of a training run: no use to who loads the model, and some of it holds tokens and paths.
_TRAINING_STATE = re.compile(
    r"(training_args\.bin|optimizer[^/]*\.(pt|bin|safetensors)|scheduler\.pt|scaler\.pt|rng_state[^/]*|trainer_state\.json"
    r"|random_states[^/]*|pytorch_model_fsdp[^/]*|checkpoint-\d+)$"
)
#: Tensors of Adam, AdamW, SGD and Adafactor, as their state dicts call them.
_OPTIMIZER_TENSOR = re.compile(rb'"[^"]{0,200}\b(exp_avg|exp_avg_sq|momentum_buffer|exp_avg_sq_row)"\s*:')
#: Files in which a machine keeps what is its own.
_PRIVATE_NAME = re.compile(
    r"(\.env(\..*)?|\.netrc|\.git-credentials|\.npmrc|\.pypirc|id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p12|pfx)|stored_tokens"
    r"|token)$"
)
#: Homes and temporary folders of any machine, with something in them. Each pattern begins with a literal, and looks
#: behind it afterwards: so `re` leaps from one such byte to the next.
_LETTER = rb"[\w.\x80-\xff-]"
_HOME = rb"(?:home|Users)/L{1,64}(?: L{1,64}){0,3}/L".replace(b"L", _LETTER)
_TEMPORARY = rb"(?:root|tmp|var/folders|private/var)/L{2}".replace(b"L", _LETTER)
_PLACES = (
    re.compile(rb"/(?<![\w.~/:-]/)(?:" + _HOME + b"|" + _TEMPORARY + b")(?:" + _LETTER + b"|/){0,80}"),
    re.compile(rb"file:///[\w.-][\w./-]{0,80}"),
    re.compile(rb":\\{1,2}Users\\{1,2}[\w. \x80-\xff-]{1,64}\\"),  # backslashes are doubled in JSON
)
_ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})|\\/")
#: Variables that every environment has. One may be a word in a text, three together are a dump.
_VARIABLE = re.compile(
    rb"(?<![\w$-])(PATH|HOME|USER|SHELL|PWD|OLDPWD|LOGNAME|HOSTNAME|SHLVL|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|TMPDIR"
    rb"|CONDA_PREFIX|SSH_CLIENT|SSH_AUTH_SOCK|DISPLAY|XDG_RUNTIME_DIR|USERPROFILE|COMPUTERNAME)"
    rb"[\"']?\s{0,3}[=:]\s{0,3}[\"']?[^\s\"']"
)
_DUMP = 3


@dataclass(frozen=True)
class Finding:
    """One thing that must not leave.

    Attributes:
        path: of the file in the repository.
        what: what it is, and where in the file; credentials masked.
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"{hide_credentials(self.path)}: {self.what}"


def scan(publication: Publication) -> None:
    """Let a publication pass when nothing in it must stay here.

    Raises:
        LeakError: names every file, what is wrong with it, and the way out; credentials are masked.
    """
    found = findings(publication)
    if found:
        listed = "\n  ".join(str(finding) for finding in found)
        raise LeakError(
            f"nothing was sent, since {len(found)} finding{'s' * (len(found) > 1)} must not leave this machine:\n  "
            f"{listed}\nremove them, or make the artifact again without them, then push again"
        )


def findings(publication: Publication) -> tuple[Finding, ...]:
    """Everything in a publication that must not leave, by file in its order.

    Files are read in pieces: memory does not grow with them.
    """
    places = (*_PLACES, *_own_places(publication))
    twice = [path for path, count in Counter(file.path for file in publication).items() if count > 1]
    found = [Finding(path, "is there twice") for path in twice]
    for file in publication:
        found += (Finding(file.path, what) for what in (*_judge_name(file), *_judge_content(file, places)))
    return tuple(found)


def _judge_name(file: PublishedFile) -> Iterator[str]:
    path = PurePosixPath(file.path)
    if path.is_absolute() or "\\" in file.path or str(path) != file.path or ".." in path.parts:
        yield "is no plain relative path"
    if _TRAINING_STATE.search(file.path):
        yield "is state of a training run"
    elif is_pickle_name(path.name):
        yield "is a pickle by its name, which runs code when it is loaded"
    if _PRIVATE_NAME.match(path.name):
        yield "is a file of this machine's own, by its name"
    if isinstance(file.content, Path) and file.content.is_symlink():
        yield "is a link, and may lead anywhere"


def _judge_content(file: PublishedFile, places: Sequence[re.Pattern[bytes]]) -> Iterator[str]:
    told, variables = dict[str, None](), set[bytes]()
    with closing(_open(file)) as stream:
        for offset, piece in _pieces(stream):
            if offset == 0:
                yield from _judge_start(piece)
            text = strings(piece)
            told |= dict.fromkeys(islice(_told(piece, text, offset, places), _MOST_TOLD))
            if b"PATH" in text:  # as every environment has
                variables |= set(_VARIABLE.findall(text))
            if len(told) >= _MOST_TOLD:  # whatever follows, it is refused
                break
    yield from list(told)[:_MOST_TOLD]
    for place in _document_places(file):
        if not any(place[:_SHOWN] in what for what in told):
            yield f"holds an absolute path ({hide_credentials(place[:_SHOWN])})"
    if len(variables) >= _DUMP:
        yield f"holds environment variables ({', '.join(sorted(name.decode() for name in variables))})"


def _judge_start(piece: bytes) -> Iterator[str]:
    kind = holds_pickle(piece)
    if kind is not None:
        yield f"is {kind}, by its content, which runs code when it is loaded"
    if match := _OPTIMIZER_TENSOR.search(piece):
        yield f"holds state of an optimizer ({match[1].decode()})"


def _document_places(file: PublishedFile) -> Iterator[str]:
    """Absolute paths among the values of JSON and YAML, of whatever machine they are."""
    suffix = PurePosixPath(file.path).suffix.lower()
    if suffix in (".json", ".yaml", ".yml") and file.size <= LARGEST_FILE:
        content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        yield from islice(local_places(content, suffix), _MOST_TOLD)


def _told(piece: bytes, text: bytes, offset: int, places: Sequence[re.Pattern[bytes]]) -> Iterator[str]:
    """What must not leave in the text of a piece as it is, in escapes of JSON, and in UTF-16."""
    plain = set[str]()
    for leak, what in _leaks(text, places):
        plain.add(what)
        yield f"{what} at byte {offset + piece.find(leak)}"
    if b"\\u" in piece or b"\\/" in piece:
        found = {what for _, what in _leaks(strings(_ESCAPED.sub(_unescaped, piece)), places)}
        yield from (f"{what} in escapes of JSON after byte {offset}" for what in sorted(found - plain))
    for _, what in _leaks(wide_strings(piece), places):
        yield f"{what} in UTF-16 after byte {offset}"


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return chr(int(escape[1], 16)).encode("utf-8", "surrogatepass") if escape[1] else b"/"


def _leaks(text: bytes, places: Sequence[re.Pattern[bytes]]) -> Iterator[tuple[bytes, str]]:
    """Every credential and every path of a machine in a text, and what it is."""
    for found in find_credentials(text):
        yield text[found.start : found.end], f"holds a {found.kind} ({found.masked})"
    for match in (match for pattern in places for match in pattern.finditer(text)):
        yield match[0], f"holds a path of a machine ({hide_credentials(match[0].decode(errors='replace'))})"


def _pieces(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of pieces that overlap by what one match may span."""
    offset, piece = 0, stream.read(_PIECE)
    while piece:
        yield offset, piece
        following = stream.read(_PIECE)
        offset += len(piece) - LONGEST
        piece = piece[-LONGEST:] + following if following else b""


def _open(file: PublishedFile) -> BinaryIO:
    return io.BytesIO(file.content) if isinstance(file.content, bytes) else file.content.open("rb")


def _own_places(publication: Publication) -> list[re.Pattern[bytes]]:
    """This user's and this run's folders, as text in a file would name them."""
    folders = {Path.home(), Path.cwd(), Path(tempfile.gettempdir()), Path(sys.prefix)}
    folders |= {file.content.absolute().parent for file in publication if isinstance(file.content, Path)}
    # A folder at the root of the disk (`/data`) is everybody's word; what lies in it is this machine's.
    texts = sorted(str(folder).lstrip("/").encode() for folder in folders if len(folder.parts) > 2)
    either = b"|".join(re.escape(text) for text in reversed(texts))  # the longest first
    return [re.compile(rb"/(?<![\w.-]/)(?:" + either + rb")(?![\w-])[\w./-]{0,80}")] if texts else []
