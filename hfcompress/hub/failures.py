"""What went wrong between here and the Hub, in words: without a token in them, and with the way out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hfcompress.credentials import hide_addresses

#: Loggers below huggingface_hub that say whole addresses, of all its versions: each hands its records on, so that a
#: filter sits on each.
_LOGGERS = (
    *("huggingface_hub.utils._http", "httpx", "httpx2", "urllib3.connectionpool"),
    *(
        f"{library}.{part}"
        for library in ("httpcore", "httpcore2")
        for part in ("connection", "http11", "http2", "proxy", "socks")
    ),
)
#: The most that is quoted of what a server says.
_LONGEST = 300
#: The most that one wait for a Hub that asks to wait may take, in seconds.
_PATIENCE_S = 60.0
_CONFLICTS = (409, 412)
_TRANSIENT = (408, 425, 429)


@dataclass(frozen=True)
class Failure:
    """A request that did not end well.

    Attributes:
        doing: what it was for: "uploading the files".
        status: of the Hub's answer; None: there was none, or it made no sense.
        said: what the Hub said, masked.
        wait_s: how long it asked to wait, in seconds.
    """

    doing: str
    status: int | None
    said: str = ""
    wait_s: float = 0.0

    @property
    def undecided(self) -> bool:
        """Whether the request may have been done all the same."""
        return self.status is None or self.status == 408 or self.status >= 500

    @property
    def transient(self) -> bool:
        """Whether the same request may go well in a while that is worth waiting for."""
        return (self.undecided or self.status in _TRANSIENT) and self.wait_s <= _PATIENCE_S

    @property
    def conflict(self) -> bool:
        """Whether somebody else may have changed the repository in between."""
        return self.status in _CONFLICTS

    def __str__(self) -> str:
        what = _WHAT.get(self.status) or ("the Hub failed" if self.undecided else "the Hub refused")
        named = what if self.status is None else f"{what} ({self.status})"
        return f"{self.doing}: {named}{f': {self.said}' if self.said else ''}"

    @property
    def way_out(self) -> str:
        """What the user can do."""
        if self.status == 429 and self.wait_s:
            return f"wait {self.wait_s:g} s and run the same command again"
        return _WAY_OUT.get(self.status, _AGAIN if self.undecided else _LOOK)


_AGAIN = "run the same command again: it goes on from what is there"
_LOOK = "look at what the Hub says, and run the same command again"
_WHAT: dict[int | None, str] = {
    None: "the connection was lost, or the answer made no sense",
    401: "the Hub does not know the token",
    403: "the token may not do this",
    404: "the Hub does not have it, or the token may not see it",
    409: "something else is changing the repository",
    412: "somebody else has committed in between",
    413: "it is more than the Hub takes",
    429: "the Hub has had too many requests",
}
_WAY_OUT: dict[int | None, str] = {
    401: "set HF_TOKEN to a valid token, or log in with `hf auth login`",
    403: "use a token that may write there, another repository, or --create-pr to propose it",
    404: "check the repository's name, and that the token may see it",
    409: "run the same command again, which puts this push on top",
    412: "look at that commit, and run the same command again to put this push on top",
    413: "publish fewer artifacts (--artifact)",
    429: _AGAIN,
}


def failure_of(error: BaseException, doing: str) -> Failure:
    """What an exception of huggingface_hub, or of the HTTP library below it, says."""
    response = next((r for e in _chain(error) if (r := getattr(e, "response", None)) is not None), None)
    said = next((s for e in _chain(error) if (s := getattr(e, "server_message", None))), "")
    if not said and isinstance(error, ValueError | RuntimeError):  # worded by huggingface_hub itself
        said = str(error)
    status = None if response is None else int(response.status_code)
    wait = str("" if response is None else response.headers.get("Retry-After", ""))
    quoted = " ".join(masked(str(said)).split())[:_LONGEST]
    return Failure(doing, status, quoted, float(wait) if wait.isdigit() else 0.0)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def masked(text: str) -> str:
    """The text without the token in use, which a login may keep, and what `hide_addresses` hides."""
    from huggingface_hub import get_token

    token = get_token()
    return hide_addresses(text.replace(token, "(hidden)") if token else text)


class _Masking(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True


@contextmanager
def masked_logs() -> Iterator[None]:
    """What huggingface_hub and the HTTP library below it log holds signed addresses: hide their signatures."""
    masking = _Masking()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(masking)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(masking)
