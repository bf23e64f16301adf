from collections.abc import Mapping
from typing import Any

from agent.monitor.alerts import Alerts
from samples import MOMENT


def test_trouble_is_told_once_when_it_begins_and_once_when_it_is_over():
    """However often it is seen meanwhile; an alert that does not stand is not cleared."""
    told: list[Mapping[str, Any]] = []
    alerts = Alerts(put=told.append, now=lambda: MOMENT)
    alerts.cleared("mode-file", about="weld", text="never was")
    alerts.raised("mode-file", about="weld", text="unreadable")
    alerts.raised("mode-file", about="weld", text="still unreadable")
    alerts.raised("mode-file", about="trace", text="another engine")
    alerts.cleared("mode-file", about="weld", text="set again")
    alerts.raised("mode-file", about="weld", text="and once more")
    assert [(body["about"], body["state"]) for body in told] == [
        ("weld", "raised"),
        ("trace", "raised"),
        ("weld", "cleared"),
        ("weld", "raised"),
    ]
    assert {body["severity"] for body in told} == {"warning"}


def test_what_stands_can_be_asked_for():
    """``up/status`` names each alert that stands, with its text and since when."""
    alerts = Alerts(put=lambda _body: None, now=lambda: MOMENT)
    alerts.raised("mode-file", about="weld", text="unreadable")
    alerts.raised("mode-file", about="trace", text="unreadable")
    alerts.cleared("mode-file", about="trace", text="set again")
    since = MOMENT.to_json()["at"]
    expected = {"code": "mode-file", "about": "weld", "severity": "warning", "text": "unreadable", "since": since}
    assert alerts.standing() == [expected]
