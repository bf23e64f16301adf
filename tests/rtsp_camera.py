"""Starts, stalls and kills the real RTSP server of ``rtsp_server.py``."""

import signal
import subprocess
from pathlib import Path

from mosquitto import free_port

PYTHON = "/usr/bin/python3"
_NEEDS = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
_FINDS = (
    "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    " assert all(Gst.ElementFactory.find(n) for n in ('videotestsrc', 'jpegenc', 'rtpjpegpay'))"
)


def why_not() -> str:
    """Why the server cannot run here; empty when it can."""
    try:
        command = [PYTHON, "-c", f"{_NEEDS}\n{_FINDS}"]
        found = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no RTSP server: {error}"
    return "" if found.returncode == 0 else "no RTSP server: GStreamer's RTSP server for Python is missing"


class RtspServer:
    """One server on a port that stays the same over its restarts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/live"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [PYTHON, str(Path(__file__).with_name("rtsp_server.py")), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """End it without a goodbye, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stall(self) -> None:
        """Freeze it: connections stay, nothing is sent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
