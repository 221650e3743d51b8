"""A kernel for the notebooks under test that has the large packages imported when it starts.

These imports take longer than the rest of most notebooks. So a server imports them once and forks
for each notebook. The package under test is not among them: every notebook imports it anew.

Jupyter starts ``warm_kernel.py SOCKET CONNECTION_FILE``, which asks the server for a kernel, hands
signals on to it, and lives as long as it does.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PACKAGES = (
    "torch",
    "torchvision.models",
    "scipy.ndimage",
    "matplotlib.pyplot",
    "anywidget",
    "myst_nb.ext.glue",
    "ipykernel.kernelapp",
)


class WarmKernels:
    """The server, and a kernel of the name "warm" that Jupyter finds, until it is closed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm")
        at = Path(self._folder.name)
        spec = at / "kernels" / "warm" / "kernel.json"
        spec.parent.mkdir(parents=True)
        command = [sys.executable, __file__, str(at / "socket"), "{connection_file}"]
        spec.write_text(json.dumps({"argv": command, "display_name": "warm", "language": "python"}))
        paths = [str(at), *os.environ.get("JUPYTER_PATH", "").split(os.pathsep)]
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(at / "socket")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the packages cannot be imported"

    def close(self) -> None:
        self._server.communicate()  # closes its input, at which it ends
        self._folder.cleanup()


def kernel_for_notebooks(config: pytest.Config) -> str | None:
    """The kernel that notebooks run in: the one asked for, or a warm one; None is their own."""
    # Elsewhere than on Linux, what torch has loaded may not survive a fork.
    if config.option.nbmake_kernel is None and sys.platform == "linux":
        kernels = WarmKernels()
        config.add_cleanup(kernels.close)
        config.option.nbmake_kernel = "warm"
    return config.option.nbmake_kernel


def serve(address: str) -> None:
    """Import the packages, then fork a kernel for each client, until the standard input ends."""
    sys.path.pop(0)  # the folder of this file
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in PACKAGES:
        importlib.import_module(name)
    gc.freeze()  # what is here stays here, and its pages are shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                become_kernel(connection)
                return
            connection.close()
    os._exit(0)  # nothing is left to tidy up


def become_kernel(connection: socket.socket) -> None:
    """Take over the client's folder, environment and output, and run the kernel it asks for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    outputs = socket.recv_fds(connection, 1, 2)[1]
    for number, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    request = json.loads(connection.makefile().readline())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    connection.sendall(array.array("i", [os.getpid()]).tobytes())

    def end_with_the_client() -> None:
        connection.recv(1)
        os._exit(1)

    threading.Thread(target=end_with_the_client, daemon=True).start()
    from ipykernel.kernelapp import IPKernelApp

    parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # it ends with its parent, too
    IPKernelApp.launch_instance(argv=["-f", request["connection_file"], parent])


def ask_for_kernel(address: str, connection_file: str) -> None:
    """Be Jupyter's process of the kernel: its signals reach it, and its end is ours."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"!"], [1, 2])
        request = {
            "connection_file": connection_file,
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        connection.sendall(json.dumps(request).encode() + b"\n")
        (kernel,) = array.array("i", connection.recv(4))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(kernel, number))
        connection.recv(1)  # nothing is sent: it returns when the kernel has ended


if __name__ == "__main__":
    serve(*sys.argv[1:]) if len(sys.argv) == 2 else ask_for_kernel(*sys.argv[1:])
