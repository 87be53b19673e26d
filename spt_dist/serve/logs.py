"""The endpoint's log: a JSON document per line, each with the id of the request that it belongs to."""

import logging
import sys
from logging.handlers import WatchedFileHandler

from pythonjsonlogger.json import JsonFormatter

from spt_dist.serve.ticket import Ticket, current

FIELDS = ("asctime", "levelname", "name", "message", "request_id")
NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}
logger = logging.getLogger(__name__)


def open_log(path: str) -> None:
    """Write the log of this process to a file, or to standard error for an empty path.

    Several processes may share the file. Who rotates it may simply move it away.

    Raises:
        OSError: the file cannot be written.
    """
    own = logging.getLogger("spt_dist")
    for handler in own.handlers[:]:
        own.removeHandler(handler)
        handler.close()
    handler = WatchedFileHandler(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(FIELDS, style=",", rename_fields=NAMES))
    handler.addFilter(_name_request)
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    own.propagate = False


def log_request(ticket: Ticket) -> None:
    """One line for a request that is over."""
    facts = {
        "method": ticket.method,
        "route": ticket.route,
        "status": ticket.status,
        "seconds": round(ticket.seconds, 4),
        "stages": {name: round(seconds, 4) for name, seconds in ticket.stages.items()},
        "sent_bytes": ticket.sent_bytes,
        "key": ticket.key,
        "pictures": [picture._asdict() for picture in ticket.pictures],
    }
    level = logging.ERROR if ticket.status >= 500 and ticket.status != 503 else logging.INFO
    logger.log(level, "answered", extra={"request_id": ticket.request_id} | facts)


def _name_request(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id"):
        ticket = current.get()
        record.request_id = ticket.request_id if ticket else ""
    return True
