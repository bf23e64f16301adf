"""The pages that the code itself can tell are what the code says."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent.cli.options import DEFAULT_PATH
from agent.config import DEFAULT_PATH as READ_BY_DEFAULT
from agent.config import Config, parse
from agent.config.sections import AnyCamera, FolderCamera, RtspCamera, SimulatedCamera, V4l2Camera, VideoCamera

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "config.example.toml").read_text(encoding="utf-8")
CAMERAS: Mapping[str, type[AnyCamera]] = {
    "folder": FolderCamera,
    "video": VideoCamera,
    "v4l2": V4l2Camera,
    "rtsp": RtspCamera,
    "simulated": SimulatedCamera,
}


def keys(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a table with its value, inner tables by dots."""
    for name, value in table:
        if isinstance(value, BaseModel):
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def written(text: str) -> list[str]:
    """The keys that a text of TOML sets, in order, also those that are commented out."""
    return re.findall(r"^#?([a-z_.0-9]+) = ", text, flags=re.MULTILINE)


def parts(title: str) -> list[str]:
    """The text below each table with this title, up to the next table."""
    found = re.findall(rf"^#?{re.escape(title)}\n((?:#.*\n|[a-z].*\n)*)", EXAMPLE, flags=re.MULTILINE)
    assert found, f"{title} is not in the example"
    return [str(one) for one in found]


def uncommented() -> str:
    """The example with every commented setting in effect."""
    return re.sub(r"^#(?=\S)", "", EXAMPLE, flags=re.MULTILINE)


def test_the_pages_that_are_made_from_the_code_are_not_stale():
    """scripts/make_docs.py would write config.example.toml and the reference pages exactly as they are."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "")


def test_the_example_changes_nothing():
    """config.example.toml as it is means the same as an empty file: every value in it is the default."""
    assert parse(EXAMPLE, where="example") == Config()


@pytest.mark.parametrize("section", ["device", "inference", "store", "mqtt", "monitor"])
def test_the_example_holds_every_key_of_a_section(section: str):
    """Each section of the example has every key that the code knows, once, and no other."""
    (text,) = parts(f"[{section}]")
    assert sorted(written(text)) == sorted(dict(keys(getattr(Config(), section))))


def test_the_commented_settings_of_the_example_work():
    """With every # taken away the example is valid: one camera of each kind, one engine, every secret."""
    settings = parse(uncommented(), where="example")
    assert [camera.kind for camera in settings.cameras] == list(CAMERAS)
    assert list(settings.engines) == ["demo-surface"]


@pytest.mark.parametrize("kind", CAMERAS)
def test_the_example_holds_every_key_of_a_camera_with_its_default(kind: str):
    """Each kind of camera has a block with every key it knows; those with a default show it."""
    (text,) = [one for one in parts("[[cameras]]") if f'#kind = "{kind}"' in one]
    (camera,) = [one for one in parse(uncommented(), where="example").cameras if one.kind == kind]
    assert sorted(written(text)) == sorted(dict(keys(camera)))
    fields = CAMERAS[kind].model_fields.items()
    bare = dict(keys(CAMERAS[kind](**{name: getattr(camera, name) for name, one in fields if one.is_required()})))
    shown: Mapping[str, Any] = dict(keys(camera))
    assert {name: shown[name] for name, value in bare.items() if value is not None} == {
        name: value for name, value in bare.items() if value is not None
    }


def test_the_command_line_reads_the_file_that_the_settings_name():
    """The default of --config is the same in the command line as in the settings."""
    assert DEFAULT_PATH == READ_BY_DEFAULT
