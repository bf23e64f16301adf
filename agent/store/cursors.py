"""How far each file source is committed, so that a restart goes on where it was."""

import json

from sqlite_utils import Database

from agent.inspection.frame import Mark


class Cursors:
    """Advances cursors inside the journal's transactions. Used by the journal thread only.

    A folder's cursor is its committed files, since files may arrive in any order; a stream's is the position up
    to which everything is committed, and the few committed beyond it.
    """

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], tuple[int, set[int]]] = {}

    def advance(self, db: Database, camera: str, mark: Mark) -> None:
        """Note that the frame at ``mark`` is committed with this transaction."""
        root = storable(mark.root)
        if mark.item is not None:
            db.conn.execute(
                "INSERT OR REPLACE INTO cursor_items (camera, root, item, fingerprint) VALUES (?, ?, ?, ?)",
                (camera, root, storable(mark.item), mark.fingerprint),
            )
            return
        key = (camera, mark.root)
        upto, beyond = self._streams.get(key) or stream_done(db, camera, mark.root)
        beyond.add(mark.position)
        while upto + 1 in beyond:
            upto += 1
            beyond.remove(upto)
        self._streams[key] = (upto, beyond)
        db.conn.execute(
            "INSERT OR REPLACE INTO cursor_positions (camera, root, upto, beyond) VALUES (?, ?, ?, ?)",
            (camera, root, upto, json.dumps(sorted(beyond))),
        )

    def forget(self) -> None:
        """After a rollback: the rows are the truth."""
        self._streams.clear()


def files_done(db: Database, camera: str, root: str) -> dict[str, str]:
    """Fingerprint by relative path of every committed file of a folder."""
    sql = "SELECT item, fingerprint FROM cursor_items WHERE camera = ? AND root = ?"
    rows = db.execute(sql, [camera, storable(root)])
    return dict(rows.fetchall())


def stream_done(db: Database, camera: str, root: str) -> tuple[int, set[int]]:
    """The position up to which a stream is committed, and those committed beyond it."""
    sql = "SELECT upto, beyond FROM cursor_positions WHERE camera = ? AND root = ?"
    row = db.execute(sql, [camera, storable(root)]).fetchone()
    return (row[0], set(json.loads(row[1]))) if row else (0, set())


def storable(text: str | None) -> str | None:
    """Text as SQLite can hold it: a lone surrogate becomes its escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
