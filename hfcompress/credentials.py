"""Access tokens and keys in text and bytes: found before anything is published, hidden in every message.

The patterns are those that the services document or that secret scanners use. Each begins with a literal, so that a
file of weights is searched at the speed of `bytes.find`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: The longest piece that one match looks at: who reads a file in pieces lets them overlap by as much.
LONGEST = 2048
#: Variables whose value is a credential, by the end of their name.
_VARIABLES = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)$", re.IGNORECASE
)
#: The query of a web address, or of the target of a request.
_QUERY = re.compile(r"(?<=\?)[^\s'\")>]{2,}")
_BEARER = re.compile(r"(?<=[Bb]earer )[^\s'\"]+")
#: A shorter value may be an ordinary word, which half of all files hold.
_SHORTEST_VALUE = 12


@dataclass(frozen=True)
class Kind:
    """One kind of credential.

    Attributes:
        name: what people call it.
        starts: literals, one of which every match begins with, each with the pattern of it at the beginning of a word.
        pattern: the whole credential, anchored at its start.
        reach: where the pattern looks far: how many bytes of a word. After a miss, all that begins in that word is a
            miss too, so that a file of such beginnings is not searched from each of them; 0: it looks no further than
            it has to.
    """

    name: str
    starts: tuple[tuple[bytes, re.Pattern[bytes]], ...]
    pattern: re.Pattern[bytes]
    reach: int = 0

    def after_miss(self, data: bytes, start: int) -> int:
        """Where the next credential of this kind may begin, when none begins at `start`."""
        if not self.reach:
            return start + 1
        end = _WORD.match(data, start, start + self.reach).end()  # type: ignore[union-attr]
        # A longer word than the pattern looks at may hold one further on.
        return max(start + 1, end if end < start + self.reach else end - self.reach // 2)


_WORD = re.compile(rb"[A-Za-z0-9_-]*")


def _kind(name: str, starts: str, rest: str, reach: int = 0) -> Kind:
    literals = starts.split()
    either = "|".join(re.escape(literal) for literal in literals)
    begins = tuple((literal.encode(), _beginning(literal)) for literal in literals)
    return Kind(name, begins, re.compile(f"(?:{either}){rest}".encode()), reach)


def _beginning(literal: str) -> re.Pattern[bytes]:
    """A literal of letters is no middle of a longer word: `task-...` holds `sk-` and is no key.

    The literal comes first, so that `re` leaps from one to the next.
    """
    word = re.escape(literal)
    return re.compile(f"{word}(?<![A-Za-z0-9]{word})".encode() if literal[:1].isalnum() else word.encode())


KINDS: tuple[Kind, ...] = (
    _kind("Hugging Face token", "hf_ api_org_", r"(?:[A-Za-z0-9]{20,256}|(?:oauth|jwt)_[A-Za-z0-9_.-]{12,1024})"),
    _kind("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,255}"),
    _kind("GitHub token", "github_pat_", r"[A-Za-z0-9_]{22,255}"),
    _kind("GitLab token", "glpat-", r"[A-Za-z0-9_-]{20,255}"),
    _kind("AWS access key", "AKIA ASIA", r"[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _kind("Google API key", "AIza", r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _kind("Google OAuth token", "ya29.", r"[A-Za-z0-9_-]{30,1024}"),
    _kind("Slack token", "xox", r"[abeprs]-[A-Za-z0-9-]{20,255}"),
    _kind("API key", "sk-", r"(?=[A-Za-z_-]{0,255}[0-9])(?=[a-z0-9_-]{0,255}[A-Z])[A-Za-z0-9_-]{32,255}", 259),
    _kind("Stripe key", "sk_live_ rk_live_", r"[A-Za-z0-9]{20,255}"),
    _kind("npm token", "npm_", r"[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _kind("PyPI token", "pypi-AgE", r"[A-Za-z0-9_-]{50,1024}"),
    _kind("JSON web token", "eyJ", r"[A-Za-z0-9_-]{10,1024}+\.eyJ[A-Za-z0-9_-]{10,512}\.[A-Za-z0-9_-]{10,400}", 1028),
    _kind("bearer token", "Bearer bearer", r" (?=[A-Za-z._~+/=-]{0,255}[0-9])[A-Za-z0-9._~+/=-]{16,1024}"),
    _kind(
        "signature of an address",
        "X-Amz-Signature= X-Amz-Credential= X-Amz-Security-Token= X-Goog-Signature= Signature= Key-Pair-Id=",
        r"(?=[A-Za-z%+/~._-]{0,255}[0-9])[A-Za-z0-9%+/~._-]{12,1024}",
    ),
    _kind("private key", "-----BEGIN", r" (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    _kind("password in an address", "://", r"[A-Za-z0-9._~%+-]{1,64}:[A-Za-z0-9._~%!&*+,;=-]{3,128}@"),
)


@dataclass(frozen=True)
class Credential:
    """A credential that was found.

    Attributes:
        kind: what people call it.
        masked: enough of it to find it again, and no more.
        start, end: where, in bytes.
    """

    kind: str
    masked: str
    start: int
    end: int


def find_credentials(data: bytes, environ: Mapping[str, str] = os.environ) -> Iterator[Credential]:
    """Everything in `data` that looks like a credential, and what this process's environment holds, in no order."""
    for kind in KINDS:
        for literal in kind.starts:
            place = data.find(literal[0])  # the fastest way to learn that there is none
            while place >= 0 and (beginning := literal[1].search(data, place)):
                match = kind.pattern.match(data, beginning.start())
                if match:
                    masked = f"{literal[0].decode()}(hidden)"
                    yield Credential(kind.name, masked, match.start(), match.end())
                place = match.end() if match else kind.after_miss(data, beginning.start())
    for name, value in _own(environ):
        for start in _places(data, value):
            yield Credential(f"value of {name}", "(hidden)", start, start + len(value))


def hide_credentials(text: str) -> str:
    """The text with every credential in it replaced by its start and `(hidden)`."""
    data, hidden, done = text.encode("utf-8", "surrogatepass"), [], 0
    for found in sorted(find_credentials(data), key=lambda found: (found.start, -found.end)):
        if found.start >= done:
            hidden += [data[done : found.start], found.masked.encode()]
        done = max(done, found.end)
    return b"".join([*hidden, data[done:]]).decode("utf-8", "surrogatepass")


def hide_addresses(text: str) -> str:
    """As `hide_credentials`, and without the queries of web addresses: files are sent to signed ones."""
    return hide_credentials(_BEARER.sub("(hidden)", _QUERY.sub("(hidden)", text)))


def _places(data: bytes, literal: bytes) -> Iterator[int]:
    place = data.find(literal)
    while place >= 0:
        yield place
        place = data.find(literal, place + 1)


def _own(environ: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """The credentials in this process's environment, by the names of their variables."""
    return [
        (name, value.encode("utf-8", "surrogateescape"))
        for name, value in environ.items()
        if _VARIABLES.search(name) and len(value) >= _SHORTEST_VALUE
    ]
