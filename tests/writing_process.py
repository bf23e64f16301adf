"""A process that reads a stream, writes a verdict for each frame and says so, until it is killed.

    python writing_process.py FOLDER

Each line on stdin is the name of a boot and starts such a process, a fork of this one, which has all modules loaded
already. On stdout stand its process id, then the id and position of each verdict whose commit is over, and
``dead`` when it was killed.
"""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.inspection.frame import Mark
from agent.store.cursors import stream_done
from store_rig import Store, an_entry

ROOT, CAMERA = "video:belt.avi", "top"


def say(text: str) -> None:
    """One line, at once."""
    os.write(1, f"{text}\n".encode())


def write(folder: Path, boot: str) -> None:
    """Go on where the cursor is, for ever."""
    store = Store(folder, boot=boot)
    upto, beyond = stream_done(store.db, CAMERA, ROOT)
    positions = (place for place in range(upto + 1, sys.maxsize) if place not in beyond)
    for number, position in enumerate(positions, start=1):
        entry = an_entry(number, camera=CAMERA, source=str(position), mark=Mark(ROOT, position=position))
        store.journal.put(replace(entry, done=partial(say, f"{entry.id} {position}")))
        if number % 3 == 0:  # so that there are commits of several frames, and frames that wait at the kill
            store.write()


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write(Path(sys.argv[1]), line.strip())
    say(str(child))
    os.waitpid(child, 0)
    say("dead")
