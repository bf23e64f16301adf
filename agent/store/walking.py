"""Reads a damaged table row by row and steps over what is broken. The damaged database is attached as ``old``."""

import sqlite3
from collections.abc import Callable
from typing import Final

_ROWS: Final = 500
_LOWEST: Final = -(1 << 62)
_REACH: Final = 62


def tables(db: sqlite3.Connection) -> list[str]:
    """The names of the new database's tables, in the order in which they were made."""
    sql = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    return [name for (name,) in db.execute(sql)]


def walk(
    db: sqlite3.Connection,
    table: str,
    take: Callable[[int, int], None],
    go_on: Callable[[], bool],
    *,
    after: int = _LOWEST,
) -> bool:
    """Hand over the readable rows of a table in runs, lowest ``rowid`` first.

    Args:
        db: The new database, with the damaged one attached.
        table: Which; a table with a rowid.
        take: Takes the rows above the first number up to the second one; raises where one cannot be read.
        go_on: Whether there is time.
        after: Begin above this rowid.

    Returns:
        Whether time sufficed.

    Raises:
        sqlite3.Error: The new database cannot be written.
    """
    sql = f"SELECT max(r) FROM (SELECT rowid AS r FROM old.{table} WHERE rowid > ? ORDER BY rowid LIMIT ?)"  # noqa: S608
    rows, place = _ROWS, after
    while go_on():
        try:
            upto = db.execute(sql, (place, rows)).fetchone()[0]
            if upto is None:
                return True
            _check_order(place, upto)
            take(place, upto)
        except sqlite3.DatabaseError as error:
            undo(db, error)
            if rows > 1:
                rows = max(1, rows // 8)
                continue
            beyond = _beyond(db, table, place)
            if beyond is None:
                return True
            upto = beyond
        place, rows = upto, _ROWS
    return False


def copy_table(db: sqlite3.Connection, table: str, go_on: Callable[[], bool]) -> bool:
    """Copy the readable rows of a table; whether time sufficed.

    Raises:
        sqlite3.Error: The new database cannot be written.
    """
    columns = ", ".join(_shared_columns(db, table))
    if not columns:
        return True
    insert = f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table}"  # noqa: S608
    keys = _keys(db, table)
    if keys:
        _copy_keyed(db, insert, keys)
        return go_on()

    def take(low: int, high: int) -> None:
        db.execute(f"{insert} WHERE rowid > ? AND rowid <= ?", (low, high))

    return walk(db, table, take, go_on)


def _check_order(place: int, upto: int) -> None:
    if upto <= place:
        raise sqlite3.DatabaseError("rows are out of order")


def _beyond(db: sqlite3.Connection, table: str, place: int) -> int | None:
    """The nearest place above one that cannot be read from which reading works again; None where it never does."""

    def works(candidate: int) -> bool:
        try:
            db.execute(f"SELECT rowid FROM old.{table} WHERE rowid > ? ORDER BY rowid LIMIT 1", (candidate,)).fetchone()  # noqa: S608
        except sqlite3.DatabaseError:
            return False
        return True

    high = next((place + (1 << step) for step in range(_REACH) if works(place + (1 << step))), None)
    if high is None:
        return None
    low = place
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def undo(db: sqlite3.Connection, error: sqlite3.DatabaseError) -> None:
    """Go on after a row that cannot be read.

    Raises:
        sqlite3.Error: It is the new database that cannot be written.
    """
    if db.in_transaction:
        db.execute("ROLLBACK")
    if any(word in str(error) for word in ("full", "readonly", "locked")):
        raise error


def _copy_keyed(db: sqlite3.Connection, insert: str, keys: list[str]) -> None:
    """A table without rowid: at once, or from both ends up to what cannot be read."""
    try:
        db.execute(insert)
    except sqlite3.DatabaseError as error:
        undo(db, error)
        for order in ("", " DESC"):
            _copy_until_broken(db, insert, ", ".join(f"{key}{order}" for key in keys))


def _copy_until_broken(db: sqlite3.Connection, insert: str, order: str) -> None:
    head, select = insert.split(" SELECT ", 1)
    columns = select.split(" FROM ", 1)[0]
    marks = ", ".join("?" * len(columns.split(", ")))
    try:
        for row in db.execute(f"SELECT {select} ORDER BY {order}"):
            db.execute(f"{head} VALUES ({marks})", row)
    except sqlite3.DatabaseError as error:
        undo(db, error)


def _shared_columns(db: sqlite3.Connection, table: str) -> list[str]:
    """The columns that the table has in both databases; none where the damaged one does not have it."""
    try:
        old = {row[1] for row in db.execute(f"PRAGMA old.table_info({table})")}
    except sqlite3.DatabaseError:
        return []
    return [row[1] for row in db.execute(f"PRAGMA main.table_info({table})") if row[1] in old]


def _keys(db: sqlite3.Connection, table: str) -> list[str]:
    """The key's columns of a table without rowid, in their order; none where it has a rowid."""
    (sql,) = db.execute("SELECT sql FROM main.sqlite_master WHERE name = ?", (table,)).fetchone()
    if "WITHOUT ROWID" not in sql:
        return []
    keyed = [(row[5], row[1]) for row in db.execute(f"PRAGMA main.table_info({table})") if row[5]]
    return [name for _, name in sorted(keyed)]
