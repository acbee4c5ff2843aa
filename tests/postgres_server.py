"""A throw-away PostgreSQL server for the tests and benchmarks."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.desk_server import free_port

_SYSTEM_USER = "postgres"  # PostgreSQL refuses to run as root


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server whose superuser is `tests`, without a password, on loopback."""

    port: int

    def make_database(self, template: str = "template1") -> str:
        """Create a database; returns its SQLAlchemy URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql+psycopg://tests@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        self._execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            f"postgresql://tests@127.0.0.1:{self.port}/postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version first; None without any."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    listed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    return listed[-1] if listed else None


@contextmanager
def run_postgres(binaries: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server in a folder of its own, and stop and remove it afterwards.

    Args:
        durable: wait for the disk at every commit, as it does by default; tests need not.
    """
    folder = Path(tempfile.mkdtemp(prefix="creativepair-postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, _SYSTEM_USER)
        as_user = ["runuser", "-u", _SYSTEM_USER, "--"]
    port = free_port()
    data = folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c max_connections=200"
    if not durable:
        options += " -c fsync=off"
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-l", str(folder / "log")]
    try:
        subprocess.run(
            [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "tests", "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        subprocess.run(
            [*control, "-o", options, "-w", "start"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        yield PostgresServer(port)
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
