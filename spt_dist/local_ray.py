"""What Ray reads from the environment when it is imported; call `prepare` before.

No usage reports to anyone, no notice about accelerators that it does not find. And a Ray of our own, on this machine
alone, stays on loopback: whoever reaches its ports may run code. (The variable's name says Windows; it works here.)
Serve's proxy may take its time to start: on a busy machine Serve would kill it after 5 s, again and again.
"""

import os


def prepare() -> str:
    """Set the environment; gives the address to connect to: $RAY_ADDRESS, or `local` for a Ray of our own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    address = os.environ.get("RAY_ADDRESS", "local")
    if address == "local":
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    return address
