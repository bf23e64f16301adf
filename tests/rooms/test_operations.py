from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.camera.capture import Capture
from agent.clock import new_uuid7
from agent.errors import BadCommand, CameraError, FieldgateError, StoreError
from agent.handoff import Bell
from agent.operations import Operations
from agent.store.modes import Modes
from capture_rig import a_file_camera, a_live_camera
from fakes import ScriptedSource
from samples import MOMENT, a_frame
from store_rig import Store, ledger, of_kind


class Rig:
    """Operations over a real journal, a live camera and a folder camera that nobody reads."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.changes = 0
        self.captures = {
            camera.name: Capture(
                camera=camera,
                source=ScriptedSource(live=camera.live),
                now=self.store.clock,
                draw=lambda: 0.0,
                bell=Bell(),
            )
            for camera in (a_live_camera(name="live", trigger="mqtt"), a_file_camera(name="files"))
        }
        self.operations = Operations(
            modes=Modes(folder / "modes", ["pcb-trace"]),
            journal=self.store.journal,
            captures=self.captures,
            now=self.store.clock,
            new_id=new_uuid7,
            changed=self._changed,
        )

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Operations on a store that is closed afterwards."""
    one = Rig(tmp_path)
    yield one
    one.store.stop()


def test_a_change_of_mode_is_audited_once(rig: Rig) -> None:
    """Changing a mode writes one audit message; setting the same mode again writes none."""
    for _ in range(2):
        rig.operations.change_mode("pcb-trace", "production", by="anna", reason="go", way="cli")
    rig.store.write()
    (audit,) = of_kind("audit", ledger(rig.store.folder))
    assert (audit["old"], audit["new"], audit["by"], audit["way"]) == ("shadow", "production", "anna", "cli")
    assert rig.changes == 1


def test_unknown_names_are_refused_with_those_that_are_known(rig: Rig) -> None:
    """An unknown engine or camera is refused with its own code, and the message lists what is there."""
    with pytest.raises(BadCommand, match="pcb-trace") as engine:
        rig.operations.change_mode("pcb", "manual", by="a", reason="b", way="cli")
    with pytest.raises(BadCommand, match="live, files") as camera:
        rig.operations.trigger("top", {}, {}, "mqtt", lambda _result: None)
    assert (engine.value.code, camera.value.code) == ("unknown-engine", "unknown-camera")


def test_a_camera_that_reads_files_cannot_be_triggered(rig: Rig) -> None:
    """A trigger for a folder is refused with a sentence, and nobody waits for its answer."""
    with pytest.raises(CameraError, match="reads files"):
        rig.operations.trigger("files", {}, {}, "mqtt", lambda _result: None)


def test_whoever_triggered_hears_that_the_verdict_was_lost(rig: Rig) -> None:
    """A triggered frame whose verdict finds no room on the disk is answered as failed, not with silence."""
    heard: list[Mapping[str, Any] | FieldgateError] = []
    rig.operations.trigger("live", {}, {"part": "A-17"}, "mqtt", heard.append)
    rig.store.clock.pass_minutes(1)
    taken = rig.captures["live"].take()
    assert taken is not None
    assert taken.frame.subject.part == "A-17"
    rig.operations.unrecorded(taken.frame)
    rig.operations.unrecorded(a_frame(captured=MOMENT))
    (answer,) = heard
    assert isinstance(answer, StoreError)
    assert "live" in str(answer)
