from pathlib import Path

import pytest

from agent.store.in_hand import InHand


@pytest.fixture
def note(tmp_path):
    """Where the note lies."""
    return tmp_path / "in-hand" / "top.json"


def crash_with(note, item: str) -> bool:
    """A process takes a file in hand and ends; whether it dared to."""
    hand = InHand(note)
    dared = hand.take(item)
    hand.close()
    return dared


def test_a_file_in_hand_at_two_crashes_in_a_row_is_not_tried_again(note):
    """The third process leaves the file alone, and takes the next one."""
    assert [crash_with(note, "a.jpg") for _ in range(3)] == [True, True, False]
    hand = InHand(note)
    assert hand.take("b.jpg")
    hand.close()


def test_a_file_put_down_was_no_crash(note):
    """A process that ends between two files has none in hand."""
    for _ in range(5):
        hand = InHand(note)
        assert hand.take("a.jpg")
        hand.put_down()
        hand.close()


def test_another_file_in_between_starts_anew(note):
    """Two crashes count only when the same file was in hand at both."""
    assert [crash_with(note, item) for item in ("a.jpg", "b.jpg", "a.jpg", "a.jpg", "a.jpg")] == [True] * 4 + [False]


def test_other_files_before_it_do_not_hide_the_first_crash(note):
    """The order of files may differ after a restart: the crash of the process before still counts."""
    assert crash_with(note, "a.jpg")
    hand = InHand(note)
    assert hand.take("b.jpg")
    hand.put_down()
    assert hand.take("a.jpg")
    hand.close()
    assert not crash_with(note, "a.jpg")


def test_a_start_without_inspecting_forgets_the_crash(note):
    """A process that ended without a file in hand breaks the row."""
    assert crash_with(note, "a.jpg")
    InHand(note).close()
    assert [crash_with(note, "a.jpg") for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"\0" * 4096,
        b'{"held": true, "crashes": 1, "it',
        b"[1, 2]",
        b"7",
        b"\xff\xfe",
        b'{"held": true, "crashes": "many", "item": "a.jpg"}',
        b'{"held": true, "crashes": 1, "item": 7}',
        b'{"held": true}',
    ],
)
def test_a_torn_note_counts_as_none(note, torn):
    """Whatever a power cut left of the note, the process starts and inspects."""
    note.parent.mkdir()
    note.write_bytes(torn)
    assert [crash_with(note, "a.jpg") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("item", ["größe/ü.jpg", "odd-\udcff.jpg", '"quoted".jpg', "/".join(["d" * 200] * 15)])
def test_any_name_of_a_file_is_noted(note, item):
    """Long names, and names that are not UTF-8, are counted like others."""
    assert [crash_with(note, item) for _ in range(3)] == [True, True, False]


def test_a_short_name_after_a_long_one_leaves_nothing_behind(note):
    """A note replaces the one before it whole."""
    hand = InHand(note)
    assert hand.take("long" * 500)
    assert hand.take("a")
    hand.close()
    assert [crash_with(note, "a") for _ in range(2)] == [True, False]


def test_a_disk_that_refuses_the_note_costs_the_note_only():
    """On a full disk the file is inspected all the same, and nothing is raised."""
    hand = InHand(Path("/dev/full"))  # reads as zeros, and every write finds no space
    assert [hand.take(item) for item in ("a.jpg", "b.jpg", "b.jpg", "b.jpg")] == [True] * 4
    hand.put_down()
    hand.close()
