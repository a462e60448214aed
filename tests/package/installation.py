"""An environment of its own with the wheel in it, on a machine without network."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OFFLINE = """
import socket
connect = socket.socket.connect
def local(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"this machine has no network: {address}")
    return connect(self, address)
socket.socket.connect = local
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and the folder in which its commands run."""

    environment: Path
    folder: Path

    @property
    def bin(self) -> Path:
        return self.environment / ("Scripts" if os.name == "nt" else "bin")

    def pip(self, *arguments: str) -> None:
        """Packages come from files: nothing is fetched."""
        here = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        subprocess.run([*here, *arguments], check=True, capture_output=True, text=True, timeout=300)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One of the environment's programs, to its end."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @property
    def variables(self) -> dict[str, str]:
        """The tests' own, without what would lead back to the repository."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
