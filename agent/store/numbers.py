"""A message's place among all that this database has ever held: one number over all epochs.

``n = epoch number * 2**40 + seq``. It orders the messages of several epochs, and it is the primary key that SQLite
keeps for nothing. The first epoch of a database has the number 0, so that there ``n`` is ``seq``.
"""

_BITS = 40
LARGEST_SEQ = (1 << _BITS) - 1


def n_of(epoch_number: int, seq: int) -> int:
    """The place of the message ``seq`` of an epoch."""
    return epoch_number << _BITS | seq


def epoch_number(n: int) -> int:
    """The epoch's number: 0, 1, 2, ... in this database."""
    return n >> _BITS


def seq_of(n: int) -> int:
    """The message's number within its epoch: 1, 2, 3, ..."""
    return n & LARGEST_SEQ
