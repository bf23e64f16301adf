"""A pack on disk: its manifest, its digest, and the rules that its thresholds make."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agent.config.sentences import sentences
from agent.engine.manifest import Manifest
from agent.errors import PackError, in_words
from agent.inspection.verdict import Rules
from agent.ledger.sealing import sha256_hex

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SINGLE_STAGE_THRESHOLD = 0.50
VERIFICATION_THRESHOLD = 0.70


@dataclass(frozen=True, slots=True)
class Pack:
    """One versioned model release, read and checked as far as possible without running it.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
        digest: sha256 of the canonical list of its files, 64 hex digits.
    """

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def engine(self) -> str:
        """The engine's name, which all versions share: ``pcb-trace``."""
        table = self.manifest.pack
        return f"{table.project}-{table.defect_type}"

    @property
    def name(self) -> str:
        """The full name: ``pcb-trace-v1.0``."""
        return f"{self.engine}-v{self.manifest.pack.version}"

    @property
    def rules(self) -> Rules:
        """The thresholds, as ``judge`` needs them."""
        screening, table = self.manifest.screening, self.manifest.verification
        fallback = SINGLE_STAGE_THRESHOLD if screening is None else VERIFICATION_THRESHOLD
        classes = table.classes
        return Rules(
            screening=None if screening is None else screening.threshold,
            threshold=fallback if table.threshold is None else table.threshold,
            floor=table.floor,
            per_class={k: v.threshold for k, v in classes.items() if v.threshold is not None},
            action={k: v.action_threshold for k, v in classes.items() if v.action_threshold is not None},
            severity={k: v.severity for k, v in classes.items() if v.severity is not None},
        )


def read_pack(folder: Path) -> Pack:
    """Read a pack's folder.

    Raises:
        PackError: The folder, its manifest or a file that the manifest names is missing or wrong. The message
            names the file and the key.
    """
    path = folder / "pack.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        what = "has no pack.toml, so it is no engine pack" if folder.is_dir() else "there is no such folder"
        raise PackError(f"{folder}: {what}. Give the folder of an engine pack.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"{path}: cannot be read: {in_words(error)}") from None
    try:
        manifest = Manifest.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{path}: is not valid TOML: {error}") from None
    except ValidationError as error:
        raise PackError(f"{path}: {sentences(error, Manifest)}") from None
    for stage in (manifest.screening, manifest.verification):
        if stage is not None and not (folder / stage.file).is_file():
            raise PackError(f"{path}: names the file '{stage.file}', which is not in {folder}")
    try:
        return Pack(folder, manifest, digest_of(folder))
    except OSError as error:
        raise PackError(f"{error.filename}: cannot be read: {error.strerror}. Check its owner and mode.") from None


def digest_of(folder: Path) -> str:
    """The sha256 of the canonical list: ``<hex sha256>  <path>`` per file but SIGNATURE, sorted by path bytes.

    Raises:
        OSError: A file cannot be read.
    """
    files = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    lines = sorted((os.fsencode(name), path) for name, path in named if name != "SIGNATURE")
    listing = b"".join(sha256_hex(path.read_bytes()).encode() + b"  " + name + b"\n" for name, path in lines)
    return sha256_hex(listing)
