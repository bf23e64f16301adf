"""Pictures by MQTT, on ``up/evidence/{record id}``."""

import threading
from typing import Final

from agent.config.upload import UploadSection
from agent.store.pictures import KeptPicture
from agent.sync.delivery import Meaning, Outcome
from agent.sync.parcels import Parcels
from agent.sync.topics import Topics
from agent.sync.wire import Picture

_KB: Final = 1_000


class MqttPictures:
    """Sends pictures to the broker, on the caller's thread.

    Args:
        parcels: What the uplink takes them from.
        topics: The device's topics.
        settings: The largest picture, and the pace.
        stop: Set: pauses end.
    """

    name = "mqtt"

    def __init__(self, parcels: Parcels, topics: Topics, settings: UploadSection, *, stop: threading.Event) -> None:
        self._parcels = parcels
        self._topics = topics
        self._most = settings.mqtt_max_kb * _KB
        self._per_s = settings.kb_per_s * _KB
        self._stop = stop

    def send(self, picture: KeptPicture, body: bytes) -> Outcome:
        """Publish one picture, its record, hash and size beside it; the pause that the pace asks for comes after."""
        if len(body) > self._most:
            return Outcome(Meaning.NEVER, "too-large", f"{len(body)} bytes, more than upload.mqtt_max_kb")
        beside = (("record", picture.record), ("sha256", picture.sha256), ("size", str(len(body))))
        outcome = self._parcels.deliver(Picture(self._topics.evidence(picture.record), body, beside))
        if self._per_s and outcome.sent:
            self._stop.wait(outcome.sent / self._per_s)
        return outcome

    def close(self) -> None:
        """Nothing is open here: the connection is the uplink's."""
