"""Secrets: read from their files when they are needed, and from then on taken out of whatever is said.

A key of the settings names the file of a secret, never the secret. ``credential:NAME`` names one of those that
systemd hands to the service (``LoadCredential=NAME:/path``, in ``$CREDENTIALS_DIRECTORY``).
"""

import json
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from agent.errors import ConfigError

CREDENTIAL: Final = "credential:"
CONCEALED: Final = "[secret]"

_FOLDER: Final = "CREDENTIALS_DIRECTORY"
_SHORT: Final = 4
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
_FORMS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^/\s\"'@]+(?=@)"),
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]+"),
    re.compile(r"(?i)(?<=\bbasic )[\w.~+/=-]{8,}"),
    re.compile(r"(?i)\b(?:pass(?:word|wd)|token|secret)\b[\"']?\s*[:=]\s*[\"']?(?!\[secret\])[^\s\"',;&}]+"),
)
_known: set[str] = set()


def located(path: Path, *, what: str) -> Path:
    """Where a file lies that may be a credential of systemd.

    Args:
        path: As the key says it: a path, or ``credential:NAME``.
        what: The key, for messages.

    Raises:
        ConfigError: It is a credential, and its name is none or systemd gives this process none.
    """
    text = str(path)
    if not text.startswith(CREDENTIAL):
        return path
    name, folder = text[len(CREDENTIAL) :], os.environ.get(_FOLDER)
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ConfigError(
            f"{what}: '{text}' is no credential; write {CREDENTIAL}NAME with the name from LoadCredential"
        )
    if not folder:
        raise ConfigError(
            f"{what}: {text} needs systemd, which gives this process no credentials (${_FOLDER} is not set). "
            f"Start the service, and check its line LoadCredential={name}:/path"
        )
    return Path(folder) / name


def secret(path: Path | None, *, what: str) -> str | None:
    """The first line of a secret's file; None where no file is named. ``conceal`` knows it from now on.

    Args:
        path: The file, or ``credential:NAME``.
        what: The key, for messages.

    Raises:
        ConfigError: The file cannot be read or is empty. The message never holds its content.
    """
    if path is None:
        return None
    file = located(path, what=what)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{what}: the file {file} cannot be read: {reason}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{what}: the file {file} is empty; its first line must be the secret")
    _known.add(lines[0])
    return lines[0]


def conceal(text: str) -> str:
    """The text without the secrets that this process has read, and without what has the form of one.

    Forms: private keys, the user part of an address, what follows ``Bearer``, ``password=`` and the like.
    """
    for value in sorted(_known, key=len, reverse=True):
        for written in {value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe="")}:
            text = _replaced(text, written)
    for form in _FORMS:
        text = form.sub(CONCEALED, text)
    return text


def _replaced(text: str, written: str) -> str:
    """A short secret only where it stands alone: else every word that holds it would be spoiled."""
    if len(written) >= _SHORT:
        return text.replace(written, CONCEALED)
    return re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", CONCEALED, text)
