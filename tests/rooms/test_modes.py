import pytest

from agent.errors import StoreError
from agent.store.modes import Modes


@pytest.fixture
def folder(tmp_path):
    """The folder of a store that has run: two engines, one of them in production."""
    modes = Modes(tmp_path / "modes", ["pcb", "weld"])
    modes.settle()
    modes.set("pcb", "production")
    return tmp_path / "modes"


def test_the_mode_is_shadow_until_somebody_changes_it(tmp_path):
    """A first start has no mode files, and that is no trouble."""
    modes = Modes(tmp_path / "modes", ["pcb", "weld"])
    assert modes.all() == {"pcb": "shadow", "weld": "shadow"}
    assert modes.troubles == {}


def test_a_first_start_in_a_prepared_folder_is_no_trouble(tmp_path):
    """An empty folder that somebody made in advance is a first start too."""
    (tmp_path / "modes").mkdir()
    assert Modes(tmp_path / "modes", ["pcb"]).troubles == {}


def test_a_mode_survives_a_restart(folder):
    """A changed mode is on the disk before it is in memory."""
    modes = Modes(folder, ["pcb", "weld"])
    assert (modes.of("pcb"), modes.of("weld"), modes.troubles) == ("production", "shadow", {})


def test_a_change_names_the_old_mode(folder):
    """Whoever changes a mode learns what it was, for the audit."""
    modes = Modes(folder, ["pcb", "weld"])
    assert modes.set("pcb", "manual") == "production"
    assert modes.set("pcb", "shadow") == "manual"
    assert Modes(folder, ["pcb"]).of("pcb") == "shadow"


def test_a_missing_file_means_shadow_and_trouble(folder):
    """A mode file that is lost later means shadow, and somebody is told."""
    (folder / "pcb.json").unlink()
    modes = Modes(folder, ["pcb", "weld"])
    assert modes.of("pcb") == "shadow"
    assert list(modes.troubles) == ["pcb"]
    assert "is missing. The mode is shadow" in modes.troubles["pcb"]


def test_the_only_file_missing_means_trouble_too(tmp_path):
    """Also on a device with one engine a lost mode file is told from a first start."""
    modes = Modes(tmp_path, ["pcb"])
    modes.settle()
    (tmp_path / "pcb.json").unlink()
    assert list(Modes(tmp_path, ["pcb"]).troubles) == ["pcb"]


def test_an_engine_that_is_new_is_no_trouble(folder):
    """An engine name that was added to the settings begins in shadow, quietly."""
    modes = Modes(folder, ["pcb", "weld", "paint"])
    assert (modes.of("paint"), modes.troubles) == ("shadow", {})
    modes.settle()
    (folder / "paint.json").unlink()
    assert list(Modes(folder, ["pcb", "weld", "paint"]).troubles) == ["paint"]


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"[]", b"\xff\0", b"{}", b'{"mode": "auto"}', b'{"mode": 1}', b'{"mode": "production"']
)
def test_an_unreadable_file_means_shadow_and_trouble(folder, body):
    """Nothing acts because a file was damaged; what is wrong is said, until the mode is set again."""
    (folder / "pcb.json").write_bytes(body)
    modes = Modes(folder, ["pcb", "weld"])
    assert modes.of("pcb") == "shadow"
    assert "The mode is shadow until it is set again" in modes.troubles["pcb"]
    modes.settle()
    assert list(Modes(folder, ["pcb", "weld"]).troubles) == ["pcb"]
    modes.set("pcb", "production")
    assert modes.troubles == {}
    assert Modes(folder, ["pcb", "weld"]).of("pcb") == "production"


@pytest.mark.parametrize("body", [None, b"", b"7", b'{"engines": 7}'])
def test_without_the_list_of_engines_a_missing_file_is_trouble(folder, body):
    """Where it cannot be known whether an engine is new, it is told."""
    listing = folder / "engines.list"
    listing.unlink() if body is None else listing.write_bytes(body)
    (folder / "pcb.json").unlink()
    modes = Modes(folder, ["pcb", "weld"])
    assert list(modes.troubles) == ["pcb"]
    modes.settle()
    assert Modes(folder, ["pcb", "weld"]).troubles == {}


@pytest.mark.parametrize(
    ("engine", "mode", "sentence"),
    [("pbc", "shadow", "there is no engine 'pbc' here .there: pcb, weld."), ("pcb", "auto", "there is no mode 'auto'")],
)
def test_what_does_not_exist_cannot_be_set(folder, engine, mode, sentence):
    """An unknown engine or mode changes nothing, and the message says what there is."""
    modes = Modes(folder, ["pcb", "weld"])
    with pytest.raises(StoreError, match=sentence):
        modes.set(engine, mode)
    assert modes.all() == {"pcb": "production", "weld": "shadow"}


def test_a_mode_that_cannot_be_written_is_not_taken(tmp_path):
    """When the disk refuses, the old mode stands, on the disk and in memory."""
    (tmp_path / "modes").write_text("a file in place of the folder")
    modes = Modes(tmp_path / "modes", ["pcb"])
    with pytest.raises(StoreError, match=r"pcb\.json: cannot be written"):
        modes.set("pcb", "production")
    assert modes.of("pcb") == "shadow"
