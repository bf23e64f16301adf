"""A real RTSP server with a moving picture, for tests; runs under the distribution's Python.

    /usr/bin/python3 rtsp_server.py PORT

It needs python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer's base, good and rtsp plugins. It says
``ready`` when it listens and goes on until it is killed.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=20/1"
    " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)


def serve(port: str) -> None:
    """Serve rtsp://127.0.0.1:PORT/live until the end."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(sys.argv[1])
