"""The ports of a stack: how they are chosen, which process holds one that is in use, where they are stored.

`$OPOI_HOME/stack.env` has the addresses of a running stack, so that OPOI_HOME alone leads to it.
"""

import secrets
import socket
from typing import TYPE_CHECKING

from local_stack.home import Home
from schemas.stages import METRICS_SLOTS
from streams.errors import UserError
from streams.settings import LocalSettings, Settings, load_settings, variables
from streams.settings_errors import variable_of

if TYPE_CHECKING:
    import psutil

PORTS = tuple(name for name in LocalSettings.model_fields if name.endswith("_port"))
LOCAL_PARTITIONS = 8
STEP = 100
ATTEMPTS = 40
HOLDING = ("127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::")
"""Addresses of listeners that hold a port of 127.0.0.1."""

HEADER = "# Written by `opoi up`: the addresses of this stack. The environment and .env override it.\n"
ORACLE_SECRET = "OPOI_REPLAY__ORACLE_SECRET"


def variable(port: str) -> str:
    """The variable of a port's setting."""
    return variable_of(("local", port))


def choose(home: Home, port_base: int | None) -> dict[str, int]:
    """The port of each part, none of them in use.

    `port_base` sets all ports. Otherwise a port is the user's setting, else the one that this stack had
    before, else the default. Only defaults move to the next free block if they are in use. Raises `UserError`
    that names the port, the process that holds it and what to set.
    """
    settings = load_settings(home.folder)
    layers = variables(home.folder)
    *user, stack = layers.values()
    set_by_user = [name for name in PORTS if any(variable(name) in layer for layer in user)]
    if port_base is not None:
        if set_by_user:
            raise UserError(f"{variable(set_by_user[0])} is set: unset it, or omit --port-base")
        chosen = from_base(port_base)
        _refuse_taken(chosen, list(PORTS))
        return chosen
    chosen = {name: getattr(settings.local, name) for name in PORTS}
    fixed = [name for name in PORTS if name in set_by_user or variable(name) in stack]
    _refuse_taken(chosen, fixed)
    movable = [name for name in PORTS if name not in fixed]
    for attempt in range(ATTEMPTS):
        moved = {name: chosen[name] + attempt * STEP for name in movable}
        if not any(in_use(port) for port in moved.values()):
            return {**chosen, **moved}
    raise UserError(f"no free ports found next to the defaults in {ATTEMPTS} tries; give --port-base")


def from_base(base: int) -> dict[str, int]:
    """Ports from `base` on, in the order of the settings; workers' metrics start at base + 10."""
    last = base + 10 + METRICS_SLOTS
    if base < 1024 or last > 65535:
        raise UserError(f"--port-base {base}: must be from 1024 to {65535 - 10 - METRICS_SLOTS}")
    ports = {name: base + index for index, name in enumerate(PORTS)}
    return ports | {"metrics_port": base + 10}


def in_use(port: int) -> bool:
    """Whether something listens on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        # as servers do: a closing connection does not hold the port
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    """A port of 127.0.0.1 that no process listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def holder(port: int) -> str:
    """The process that listens on `port`, in words."""
    import psutil

    listener = _listener(port)
    try:
        command = " ".join(listener.cmdline()) if listener else ""
    except psutil.Error:
        listener = None
    return f"process {listener.pid} ({command[:60]})" if listener else "another user's process"


def is_held_by(port: int, pid: int | None) -> bool:
    """Whether the process `pid` or one below it listens on `port`.

    If the system does not show the listener, every `pid` counts as its holder.
    """
    import psutil

    listener = _listener(port)
    if pid is None or listener is None:
        return pid is not None
    try:
        return pid in (listener.pid, *(parent.pid for parent in listener.parents()))
    except psutil.Error:
        return True


def _listener(port: int) -> "psutil.Process | None":
    """The process that listens on `port` of 127.0.0.1; None if there is none, or this user may not see it."""
    import psutil

    places = {(address, port) for address in HOLDING}
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr in places
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def _refuse_taken(ports: dict[str, int], names: list[str]) -> None:
    for name in names:
        if in_use(ports[name]):
            raise UserError(
                f"port {ports[name]} for {name.removesuffix('_port')} is in use by {holder(ports[name])}: "
                f"stop it, set {variable(name)}, or give --port-base"
            )


def stack_variables(ports: dict[str, int], oracle_secret: str) -> dict[str, str]:
    """The content of `stack.env`."""
    return {
        "OPOI_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka_port']}",
        "OPOI_KAFKA__PARTITIONS": str(LOCAL_PARTITIONS),
        "OPOI_REGISTRY__URL": f"http://127.0.0.1:{ports['registry_port']}/apis/ccompat/v7",
        "OPOI_CLICKHOUSE__URL": f"http://127.0.0.1:{ports['clickhouse_port']}",
        "OPOI_MODEL__BASE_URL": f"http://127.0.0.1:{ports['model_port']}",
        "OPOI_ADS__GRAPH_URL": f"http://127.0.0.1:{ports['ads_port']}",
        ORACLE_SECRET: oracle_secret,
        **{variable(name): str(port) for name, port in ports.items()},
    }


def write_stack_env(home: Home, ports: dict[str, int]) -> Settings:
    """Write `stack.env`, with the secret that this stack had before. Returns the resulting settings."""
    *_, before = variables(home.folder).values()
    values = stack_variables(ports, before.get(ORACLE_SECRET) or secrets.token_hex(32))
    scratch = home.stack_env.with_suffix(".new")
    # a file left by an interrupted run may be open to others
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600, exist_ok=False)
    scratch.write_text(HEADER + "".join(f"{name}={value}\n" for name, value in values.items()))
    scratch.replace(home.stack_env)
    return load_settings(home.folder)


def diverted(settings: Settings, home: Home) -> list[str]:
    """One line for each service that the user's own settings replace by another one."""
    layers = variables(home.folder)
    *user, stack = layers.items()
    lines = []
    for name in ("OPOI_KAFKA__BOOTSTRAP_SERVERS", "OPOI_REGISTRY__URL", "OPOI_CLICKHOUSE__URL"):
        for where, found in user:
            if name in found and found[name] != stack[1].get(name):
                lines.append(f"note: {name}={found[name]} ({where}): workers use that, not this stack's own")
                break
    return lines
