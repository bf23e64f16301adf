"""Which topic says what: the whole MQTT tree of one device, as one table and one small class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.ledger.sealing import SINGULAR

LONGEST_RESPONSE_TOPIC: Final = 512
"""Bytes of a response topic that are still looked at; MQTT itself allows 65,535."""


@dataclass(frozen=True, slots=True)
class Route:
    """How one branch of the tree travels.

    Attributes:
        topic: Below the device's root; words in braces stand for what varies.
        qos: 0 or 1.
        retained: Whether the broker keeps the last one for whoever comes later.
        body: What it says, in one sentence.
    """

    topic: str
    qos: int
    retained: bool
    body: str


ROUTES: Final[Mapping[str, Route]] = {
    "online": Route("up/online", qos=1, retained=True, body="whether the agent is there; also its last will"),
    "status": Route(
        "up/status", qos=1, retained=True, body="versions, modes, cameras, the alerts that stand and the ledger's head"
    ),
    "health": Route("up/health", qos=0, retained=False, body="figures of the device and of the line"),
    "ledger": Route("up/ledger/{kind}", qos=1, retained=False, body="one sealed ledger message, its bytes unchanged"),
    "batch": Route(
        "up/ledger/batch",
        qos=1,
        retained=False,
        body="many sealed messages, their bytes unchanged: zlib of newline-separated JSON",
    ),
    "picture": Route(
        "up/evidence/{record id}",
        qos=1,
        retained=False,
        body="a picture: JPEG, and in MQTT 5 the user properties `record`, `sha256` and `size`",
    ),
    "reply": Route("up/replies/{command id}", qos=1, retained=False, body="what became of a command"),
    "command": Route("down/commands/{verb}", qos=1, retained=False, body="one command; a retained one is ignored"),
    "receipt": Route(
        "down/receipt/{consumer}",
        qos=1,
        retained=False,
        body="up to where a consumer has stored everything; may be retained",
    ),
}
"""Every branch that this agent publishes or obeys."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device.

    Attributes:
        root: What all its topics begin with, without a slash at the end: ``fieldgate/1/plant-a/cam-7``.
    """

    root: str

    @classmethod
    def of(cls, root: str, site: str, device: str) -> "Topics":
        """The tree of ``device`` at ``site`` below the configured ``mqtt.root``."""
        return cls(f"{root.strip('/')}/{site}/{device}")

    @property
    def online(self) -> str:
        """Where the agent says that it is there, and the broker that it is not."""
        return f"{self.root}/up/online"

    @property
    def status(self) -> str:
        """Where the agent says what it is and what state it is in."""
        return f"{self.root}/up/status"

    @property
    def health(self) -> str:
        """Where the device's figures go."""
        return f"{self.root}/up/health"

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to: commands of every verb, for this device and for all of its site, and its receipts."""
        return (
            f"{self.root}/down/commands/+",
            f"{self._everybody}/down/commands/+",
            f"{self.root}/down/receipt/+",
        )

    @property
    def _everybody(self) -> str:
        return f"{self.root.rpartition('/')[0]}/all"

    def ledger(self, kind: str) -> str:
        """Where ledger messages of a kind go.

        Raises:
            KeyError: No ledger message has this kind.
        """
        if kind not in SINGULAR:
            raise KeyError(kind)
        return f"{self.root}/up/ledger/{kind}"

    @property
    def batch(self) -> str:
        """Where many ledger messages go as one."""
        return f"{self.root}/up/ledger/batch"

    def evidence(self, record: str) -> str:
        """Where the picture of a record goes."""
        return f"{self.root}/up/evidence/{record}"

    def reply(self, command_id: str) -> str:
        """Where the answers to one command go; the id has been checked before."""
        return f"{self.root}/up/replies/{command_id}"

    def verb(self, topic: str) -> str | None:
        """The verb that a command's topic names, None if it is no command of this device or of all."""
        head, _, verb = topic.rpartition("/")
        own = head in {f"{self.root}/down/commands", f"{self._everybody}/down/commands"}
        return verb if verb and own else None

    def consumer(self, topic: str) -> str | None:
        """The consumer that a receipt's topic names, None if it is no receipt for this device."""
        head, _, consumer = topic.rpartition("/")
        return consumer if head == f"{self.root}/down/receipt" else None

    def may_answer(self, topic: str) -> bool:
        """Whether a reply may go to a topic that the sender of a command named.

        Only below this device's ``up/``, so that nobody can make the agent speak in another's name, and not
        where something else is said, so that a reply is never taken for a state or a ledger message.
        """
        own = f"{self.root}/up/"
        branch = topic.removeprefix(own).split("/", 1)[0]
        taken = {route.topic.split("/")[1] for name, route in ROUTES.items() if name != "reply"}
        return (
            topic.startswith(own)
            and branch not in taken | {""}
            and not set(topic) & set("+#\0")
            and len(topic.encode(errors="replace")) <= LONGEST_RESPONSE_TOPIC
        )
