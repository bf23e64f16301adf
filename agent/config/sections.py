"""Every section and key of the settings, with its default, its range and one sentence."""

import re
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.config.hours import spans_of

SMALLEST_DATABASE_MB = 16
"""Below that there would be no room in which to make room."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOST_AND_PORT = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("use 1 to 64 letters, digits, '-' or '_'")
    if value == "all":
        raise ValueError("'all' addresses every device of a site and cannot be a name")
    return value


Name = Annotated[str, AfterValidator(_named)]


class Section(BaseModel):
    """What every section has in common: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DeviceSection(Section):
    """Who this device is."""

    site: Name = Field(default="site", description="The plant; part of every topic.")
    name: Name = Field(default="device", description="This device, unique within the site.")
    timezone: str = Field(default="UTC", description="Time zone for what people read; messages are always UTC.")
    control_socket: str = Field(default="", description="Path of the control socket; empty: control.sock in store.dir.")

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError):  # malformed, or a folder of the database
            known = False
        except ZoneInfoNotFoundError:
            known = timezone == "UTC"  # a device without the database still has this one
        else:
            known = True
        if not known:
            raise ValueError("no such time zone; write one such as Europe/Berlin")
        return timezone


class SubjectSection(Section):
    """What is on a camera's pictures when the trigger does not say."""

    part: str | None = Field(default=None, description="The part.")
    batch: str | None = Field(default=None, description="The batch.")
    serial: str | None = Field(default=None, description="The serial number.")
    asset: str | None = Field(default=None, description="The machine.")
    location: str | None = Field(default=None, description="Where it stands.")
    recipe: str | None = Field(default=None, description="The recipe that runs.")


class AnyCamera(Section):
    """The keys that cameras of every kind have."""

    name: Name = Field(description="Name of the camera in records and messages.")
    engine: Name = Field(description="Name of the engine that inspects it: a table [engines.NAME].")
    region: tuple[int, int, int, int] | None = Field(
        default=None,
        description="Part of the frame that the engine looks at: x1, y1, x2, y2 in frame pixels.",
    )
    trigger: Literal["continuous", "interval", "mqtt"] = Field(
        default="continuous", description="What asks for a frame: continuous, interval or mqtt."
    )
    interval_s: float = Field(default=1.0, gt=0, le=86_400, description="Seconds between frames with trigger interval.")
    deadline_ms: int = Field(
        default=2_000,
        gt=0,
        description="A triggered frame without a verdict after this time is inconclusive (late).",
    )
    trigger_queue: int = Field(default=16, ge=1, le=1_000, description="Triggered frames that may wait for the line.")
    record: Literal["auto", "all", "notable"] = Field(
        default="auto",
        description="What becomes a record: all, notable, or auto (notable for what a live camera takes untriggered).",
    )
    audit_rate: float = Field(
        default=0.001, ge=0, le=1, description="Share of cleared frames that become records all the same."
    )
    audit_seed: int = Field(default=0, ge=0, description="Seed of the audit sample.")
    subject: SubjectSection = Field(default=SubjectSection(), description="What is on the picture by default.")

    @field_validator("region", mode="before")
    @classmethod
    def _region_from_the_environment(cls, region: object) -> object:
        if isinstance(region, str):  # a variable holds text: 0,0,640,480
            return region.strip("[] ").split(",")
        return region

    @field_validator("region")
    @classmethod
    def _region_has_area(cls, region: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if region is not None and not (0 <= region[0] < region[2] and 0 <= region[1] < region[3]):
            raise ValueError("a region is x1, y1, x2, y2 with 0 <= x1 < x2 and 0 <= y1 < y2")
        return region

    @property
    def live(self) -> bool:
        """Whether frames that nobody takes are lost, as opposed to files, which wait."""
        return True

    def records(self, *, triggered: bool) -> Literal["all", "notable"]:
        """Which verdicts become records; with ``auto``, whatever somebody asked for is traceable, and so are files."""
        if self.record != "auto":
            return self.record
        return "all" if triggered or self.trigger == "mqtt" or not self.live else "notable"


class FileCamera(AnyCamera):
    """The keys of cameras that read files."""

    path: Path = Field(description="The folder or the video file.")
    on_end: Literal["wait", "exit"] = Field(
        default="wait", description="After the last file: wait, or exit the daemon when all is stored."
    )

    @property
    def live(self) -> bool:
        """Files wait until they are inspected."""
        return False

    @model_validator(mode="after")
    def _files_cannot_be_triggered(self) -> "FileCamera":
        if self.trigger == "mqtt":
            raise ValueError("a folder or video file cannot be triggered over mqtt; use continuous or interval")
        return self


class FolderCamera(FileCamera):
    """A folder of images."""

    kind: Literal["folder"] = Field(default="folder", description="A folder of JPEG, PNG, BMP, TIFF, PGM or PPM files.")
    watch: bool = Field(default=False, description="Stay and take new files as they arrive.")
    settle_ms: int = Field(
        default=500, ge=0, description="A watched file is taken when it has not changed for this long."
    )


class VideoCamera(FileCamera):
    """A video file."""

    kind: Literal["video"] = Field(default="video", description="A video file.")


class LiveCamera(AnyCamera):
    """The keys of cameras that go on whether or not somebody looks."""

    frozen_after_s: float = Field(
        default=10.0, gt=0, description="Bit-identical frames for this long: the camera is frozen."
    )
    retry_max_s: float = Field(
        default=30.0, gt=0, description="Longest pause between attempts to open a failed camera."
    )


class V4l2Camera(LiveCamera):
    """A USB or other V4L2 camera."""

    kind: Literal["v4l2"] = Field(default="v4l2", description="A USB or other V4L2 camera.")
    device: str = Field(description="Device path, best one under /dev/v4l/by-id; a number works too.")
    width: int = Field(default=0, ge=0, description="Frame width to ask for; 0: what the camera gives.")
    height: int = Field(default=0, ge=0, description="Frame height to ask for; 0: what the camera gives.")
    fps: float = Field(default=0.0, ge=0, description="Frame rate to ask for; 0: what the camera gives.")
    fourcc: str = Field(default="", description="Pixel format to ask for, such as MJPG; empty: what the camera gives.")


class RtspCamera(LiveCamera):
    """A network camera."""

    kind: Literal["rtsp"] = Field(default="rtsp", description="A network camera over RTSP.")
    url: str = Field(description="Address without user and password: rtsp://host:port/path.")
    username: str = Field(default="", description="User name; empty: none.")
    password_file: Path | None = Field(
        default=None, description="File whose first line is the password, or credential:NAME of systemd."
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="How the stream travels.")
    open_timeout_ms: int = Field(default=5_000, gt=0, description="Longest time to wait for the connection.")
    read_timeout_ms: int = Field(default=3_000, gt=0, description="Longest time to wait for a frame.")

    @field_validator("url")
    @classmethod
    def _no_secret_in_url(cls, url: str) -> str:
        if not url.startswith(("rtsp://", "rtsps://")):
            raise ValueError("the address must begin with rtsp:// or rtsps://")
        if "@" in url:  # anywhere: a password may hold a slash
            raise ValueError("the address holds a user or password; use username and password_file")
        if not HOST_AND_PORT.fullmatch(url.split("/", 3)[2]):
            raise ValueError("the address must be rtsp://host:port/path")
        return url


class SimulatedCamera(LiveCamera):
    """A camera that exists only in the agent."""

    kind: Literal["simulated"] = Field(default="simulated", description="The built-in simulated camera.")
    fps: float = Field(default=5.0, gt=0, le=1_000, description="Frames per second.")
    frames: int = Field(default=0, ge=0, description="End after so many frames; 0: never.")
    seed: int = Field(default=0, ge=0, description="Seed of the pictures.")
    defect_rate: float = Field(default=0.05, ge=0, le=1, description="Share of parts that have a defect.")
    light: float = Field(default=1.0, gt=0, le=4, description="Brightness; 1 is what the demo pack was trained on.")
    noise: float = Field(default=1.0, ge=0, le=10, description="Sensor noise; 1 is normal.")
    blur: float = Field(default=0.0, ge=0, le=10, description="Defocus in pixels (sigma).")
    drift: float = Field(default=0.0, ge=0, le=1, description="How far light and surface have moved from the training.")


Camera = Annotated[
    FolderCamera | VideoCamera | V4l2Camera | RtspCamera | SimulatedCamera,
    Field(discriminator="kind"),
]


class InferenceSection(Section):
    """How models run."""

    threads: int = Field(default=0, ge=0, le=64, description="Threads of one model; 0: the cores less one for capture.")
    spinning: bool = Field(
        default=False, description="Let idle model threads spin: faster alone, costly beside others."
    )
    screening_backend: Literal["auto", "onnx-cpu"] = Field(default="auto", description="Where stage 1 runs.")
    verification_backend: Literal["auto", "onnx-cpu"] = Field(default="auto", description="Where stage 2 runs.")


class EngineSection(Section):
    """One engine name."""

    pack: Path = Field(description="Folder of the engine pack that decides for this name.")


class StoreSection(Section):
    """What is kept on the device."""

    dir: Path = Field(
        default=Path("/var/lib/fieldgate"), description="Folder of the database, evidence and state files."
    )
    commit_ms: int = Field(default=20, ge=0, le=1_000, description="How long verdicts may gather into one transaction.")
    queue: int = Field(default=256, ge=8, le=100_000, description="Verdicts that may wait for the disk.")
    evidence: Literal["none", "notable", "all"] = Field(
        default="notable",
        description="Which records keep a JPEG: none, notable (fail, archive, inconclusive, audit), all.",
    )
    evidence_quality: int = Field(default=90, ge=10, le=100, description="JPEG quality.")
    evidence_queue: int = Field(default=16, ge=1, le=1_000, description="Pictures that may wait to be encoded.")
    recorded_log: Path | None = Field(
        default=None, description="For proofs: file that gets the id of each record after its commit; none: nothing."
    )
    database_mb: int = Field(
        default=4_000, ge=0, description="Quota of the database in MB; beyond it the oldest messages go. 0: no limit."
    )
    evidence_mb: int = Field(
        default=16_000, ge=0, description="Quota of the pictures in MB; beyond it the least valuable go. 0: no limit."
    )
    packs_mb: int = Field(
        default=4_000, ge=0, description="Quota of the engine packs in MB; beyond it an alert stands. 0: no limit."
    )
    free_mb: int = Field(
        default=500, ge=0, description="Free space in MB below which pictures go, whoever else fills the disk; 0: none."
    )
    ballast_mb: int = Field(
        default=16, ge=0, le=1_000, description="A file in MB that is given up on a full disk to make room; 0: none."
    )
    hold_days: float = Field(
        default=7.0, ge=0, description="Days that settled messages are kept, so that they can be sent again."
    )
    audit_days: float = Field(
        default=30.0, ge=0, description="Days that pictures of audit samples are kept; 0: no end."
    )
    cleared_days: float = Field(
        default=30.0, ge=0, description="Days that other pictures of what passed are kept; 0: no end."
    )
    archive_days: float = Field(
        default=90.0, ge=0, description="Days that pictures for the weekly look are kept; 0: no end."
    )
    inconclusive_days: float = Field(
        default=90.0, ge=0, description="Days that pictures of inconclusive frames are kept; 0: no end."
    )
    fail_days: float = Field(default=365.0, ge=0, description="Days that pictures of fails are kept; 0: no end.")

    @field_validator("database_mb")
    @classmethod
    def _database_has_room(cls, quota: int) -> int:
        if 0 < quota < SMALLEST_DATABASE_MB:
            raise ValueError(f"a database needs at least {SMALLEST_DATABASE_MB} MB; 0 means no limit")
        return quota


class MqttSection(Section):
    """The central broker."""

    host: str = Field(default="", description="Broker's name or address; empty: store only.")
    port: int = Field(default=1883, ge=1, le=65_535, description="Broker's port (8883 is usual with TLS).")
    version: Literal["5", "3.1.1"] = Field(default="5", description="Protocol version.")
    root: str = Field(default="fieldgate/1", description="What every topic begins with.")
    client_id: str = Field(default="", description="Client id; empty: fieldgate-SITE-DEVICE.")
    username: str = Field(default="", description="User name; empty: none.")
    password_file: Path | None = Field(
        default=None, description="File whose first line is the password, or credential:NAME of systemd."
    )
    tls: bool = Field(default=False, description="Encrypt the connection.")
    ca_file: Path | None = Field(
        default=None, description="Authority that signed the broker's certificate; none: the system's."
    )
    cert_file: Path | None = Field(default=None, description="This device's certificate, for mutual TLS.")
    key_file: Path | None = Field(
        default=None, description="Key of this device's certificate, or credential:NAME of systemd."
    )
    keepalive_s: int = Field(default=20, ge=5, le=1_200, description="Silence after which the connection is tested.")
    window: int = Field(default=20, ge=1, le=100, description="Messages that may wait for their acknowledgement.")
    batch: Literal["auto", "off"] = Field(
        default="auto", description="Send many waiting messages as one, compressed: auto (from 300 on) or off."
    )
    batch_bytes: int = Field(
        default=100_000, ge=4_096, le=100_000, description="Largest batch, compressed; the broker's limit counts too."
    )
    ack_timeout_s: float = Field(default=40.0, gt=0, description="No acknowledgement for this long: reconnect.")
    retry_max_s: float = Field(default=60.0, gt=0, description="Longest pause between attempts to connect.")
    session_s: int = Field(default=3_600, ge=0, description="How long the broker keeps commands for an absent device.")
    require_subscriber: bool = Field(
        default=True, description="Hold messages while the broker says that nobody subscribes to them."
    )
    packet_bytes: int = Field(
        default=0, ge=0, description="Largest packet; 0: what the broker says. For brokers that do not say."
    )
    messages_per_s: float = Field(default=0.0, ge=0, description="Messages sent per second; 0: no limit.")
    bytes_per_s: int = Field(default=0, ge=0, description="Bytes sent per second; 0: no limit.")
    bytes_per_day: int = Field(
        default=0, ge=0, description="Bytes sent per day, in device.timezone; 0: no limit. Alerts go all the same."
    )
    backlog_hours: str = Field(
        default="", description="When an old backlog may be sent, such as 22:00-06:00; empty: always."
    )
    backlog_jitter_s: float = Field(
        default=10.0, ge=0, le=3_600, description="After a reconnect a large backlog waits a random time up to this."
    )
    required_receipts: tuple[Name, ...] = Field(
        default=(), description="Consumers whose receipts settle messages; empty: the broker's word settles."
    )
    receipt_wait_s: float = Field(
        default=3_600.0, gt=0, description="A receipt may take this long; then a new connection sends again."
    )
    exit_wait_s: float = Field(default=30.0, ge=0, description="With on_end exit: longest wait for acknowledgements.")

    @field_validator("backlog_hours")
    @classmethod
    def _hours_are_hours(cls, backlog_hours: str) -> str:
        spans_of(backlog_hours)
        return backlog_hours


class MonitorSection(Section):
    """Health."""

    health_interval_s: float = Field(default=30.0, ge=1, le=3_600, description="Seconds between health messages.")
    sysfs_root: Path = Field(default=Path("/"), description="Root under which /sys and /proc are read.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged.")
