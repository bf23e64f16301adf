"""Everything of the agent that has to do with pictures leaving it: built together, joined to the uplink afterwards."""

import random
import threading
from collections.abc import Callable

from agent.config import Config
from agent.inspection.frame import Moment
from agent.store.reader import Reader
from agent.store.transaction import Entry
from agent.sync.desk import Finish, PictureDesk
from agent.sync.https import Https
from agent.sync.mqtt_pictures import MqttPictures
from agent.sync.parcels import Parcels
from agent.sync.topics import Topics
from agent.sync.upload import Alerts, Upload, Way


class Dispatch:
    """The thread ``upload``, what the uplink takes from it, and the desk for the command ``evidence``.

    Args:
        config: Which way pictures go, and which.
        reader: The database.
        put: Hands an entry to the journal.
        alerts: Hears of trouble.
        now: The clock.

    Attributes:
        upload: Sends and erases.
        parcels: What goes by MQTT.
        desk: Takes orders.
    """

    def __init__(
        self,
        config: Config,
        reader: Reader,
        put: Callable[[Entry], None],
        alerts: Alerts,
        now: Callable[[], Moment],
    ) -> None:
        section, stop = config.upload, threading.Event()
        self.desk = PictureDesk(reader=reader, put=put)
        self.parcels = Parcels(
            require_subscriber=config.mqtt.require_subscriber, timeout_s=section.timeout_s, stop=stop
        )
        self.upload = Upload(
            way=self._way(config, stop),
            classes=() if section.how == "off" else section.classes,
            folder=config.store.dir / "evidence",
            attempts=section.attempts,
            bytes_per_day=section.mb_per_day * 1_000_000,
            longest_s=section.retry_max_s,
            reader=reader,
            put=put,
            erased=self.desk.erased,
            now=now,
            draw=random.random,
            alerts=alerts,
            stop=stop,
        )

    def join(self, *, wake_uplink: Callable[[], None], finish: Finish) -> None:
        """Say who publishes parcels, and who brings answers to commands."""
        self.parcels.attach(wake_uplink)
        self.desk.attach(wake=self.upload.wake, finish=finish)

    def _way(self, config: Config, stop: threading.Event) -> Way:
        device = config.device
        if config.upload.how == "https":
            return Https(config.upload, site=device.site, device=device.name, stop=stop)
        topics = Topics.of(config.mqtt.root, device.site, device.name)
        return MqttPictures(self.parcels, topics, config.upload, stop=stop)
