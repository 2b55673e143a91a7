"""Credentials are hidden wherever words of ours or of others are shown."""

from __future__ import annotations

import logging
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.cli import failure
from hfcompress.cli.logs import configure_logging, reset_logging
from hfcompress.credentials import hide_credentials
from hfcompress.errors import ModelError
from hfcompress.hub.failures import masked_logs


def _made(start: str, length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """A credential of the right form that nobody ever had."""
    return start + "".join(random.Random(length).choices(alphabet, k=length))


UPPER = string.ascii_uppercase + "234567"
CREDENTIALS = {
    "hub": _made("hf_", 34),
    "hub organisation": _made("api_org_", 34),
    "hub oauth": _made("hf_oauth_", 60),
    "github": _made("ghp_", 36),
    "github fine-grained": _made("github_pat_", 82),
    "gitlab": _made("glpat-", 20),
    "aws": _made("AKIA", 16, UPPER),
    "google": _made("AIza", 35),
    "slack": _made("xoxb-", 40),
    "openai": _made("sk-proj-", 60),
    "anthropic": _made("sk-ant-", 60),
    "stripe": _made("sk_live_", 24),
    "npm": _made("npm_", 36),
    "pypi": _made("pypi-AgE", 80),
    "jwt": ".".join((_made("eyJ", 30), _made("eyJ", 60), _made("", 43))),
    "address": "://someone:" + _made("", 20) + "@",
    "bearer": "Bearer " + _made("", 40),
    "signed address": "X-Amz-Signature=" + _made("", 64),
    "key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
def test_each_kind_is_hidden_and_nothing_around_it(credential: str) -> None:
    hidden = hide_credentials(f"before {credential} after")
    assert credential not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    assert "(hidden)" in hidden


@given(st.text())
def test_text_without_a_credential_stays_as_it_is(text: str) -> None:
    assert hide_credentials(text) == text


@given(st.text(), st.sampled_from([CREDENTIALS["hub"], CREDENTIALS["github"]]), st.text())
def test_a_token_is_hidden_wherever_a_word_begins(before: str, token: str, after: str) -> None:
    assert token not in hide_credentials(f"{before} {token} {after}")


def test_no_error_of_ours_holds_one() -> None:
    assert CREDENTIALS["hub"] not in str(ModelError(f"401 for {CREDENTIALS['hub']}"))


def test_errors_and_tracebacks_of_others_are_printed_without_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(failure._state, "traceback", True)
    assert failure.exit_code(RuntimeError(f"https://hub/?token={CREDENTIALS['hub']}")) == failure.INTERNAL
    printed = capsys.readouterr().err
    assert printed.count("hf_(hidden)") == 2  # the traceback, and the message
    assert CREDENTIALS["hub"] not in printed


def test_logs_of_other_libraries_are_shown_without_one() -> None:
    from io import StringIO

    from rich.console import Console

    shown = StringIO()
    configure_logging("normal", Console(file=shown))
    try:
        logging.getLogger("huggingface_hub").warning("using %s", CREDENTIALS["hub"])
        logging.getLogger("httpx").warning('HTTP Request: GET https://cas.test/file?sig=s3cret&x=1 "HTTP/1.1 200 OK"')
    finally:
        reset_logging()
    assert "hf_(hidden)" in shown.getvalue()
    assert CREDENTIALS["hub"] not in shown.getvalue()
    assert 'https://cas.test/file?(hidden) "HTTP/1.1 200 OK"' in shown.getvalue()


@pytest.mark.parametrize("name", ["huggingface_hub.utils._http", "httpx", "httpcore.http11", "urllib3.connectionpool"])
def test_while_a_push_runs_nobody_logs_signed_addresses(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    with masked_logs():
        logger.info("PUT %s of %s", "https://s3.test/a?X=s3cret", CREDENTIALS["hub"])
    assert caplog.messages == ["PUT https://s3.test/a?(hidden) of hf_(hidden)"]
