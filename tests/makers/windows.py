"""What Windows lacks, taken away: ``python -m tests.makers.windows FOLDER`` uses the commands without it.

With ``LONG`` for the folder it uses those that take long.

Unix's modules and functions are gone for whatever is imported later, that is, for this library:
packages that have ways of their own for Windows are imported before. A file that is open or mapped
can neither be replaced nor removed. It prints, as JSON, what failed.
"""

from __future__ import annotations

import builtins
import importlib
import json
import locale
import mmap
import os
import pkgutil
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import click.testing
import numba
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
import sklearn.utils
import threadpoolctl

UNIX_MODULES = frozenset(
    "resource fcntl pwd grp termios tty pty posix syslog crypt spwd nis readline curses _curses".split()
)
UNIX_NAMES: dict[Any, str] = {
    os: "fork forkpty register_at_fork sysconf sysconf_names confstr pathconf getuid geteuid getgid getegid getgroups"
    " getpgid getpgrp getsid setsid setuid setgid killpg nice getpriority sched_getaffinity sched_setaffinity"
    " sched_yield uname statvfs fstatvfs fchmod fchown chown lchown chroot mkfifo mknod pread pwrite preadv pwritev"
    " sendfile posix_fadvise posix_fallocate posix_spawn lockf fdatasync sync ttyname openpty ctermid getloadavg"
    " wait wait3 wait4 waitid WNOHANG WIFEXITED WEXITSTATUS WIFSIGNALED WTERMSIG O_DIRECTORY O_NOFOLLOW O_CLOEXEC"
    " O_NONBLOCK O_SYNC O_DSYNC O_TMPFILE O_PATH memfd_create pipe2 set_blocking getrandom getresuid setpriority"
    " RTLD_NOW EX_OK EX_USAGE",
    signal: "SIGHUP SIGKILL SIGALRM SIGPIPE SIGUSR1 SIGUSR2 SIGCHLD SIGQUIT SIGXFSZ SIGXCPU SIGTSTP SIGCONT SIGSTOP"
    " SIGWINCH SIGBUS SIGSYS SIGTTIN SIGTTOU alarm setitimer getitimer pause pthread_sigmask pthread_kill sigwait"
    " siginterrupt sigpending",
    mmap: "MADV_DONTNEED MADV_WILLNEED MADV_RANDOM MADV_SEQUENTIAL MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS PROT_READ"
    " PROT_WRITE",
    select: "poll epoll",
    time: "tzset clock_gettime CLOCK_MONOTONIC",
    locale: "nl_langinfo",
}


class NoSuchModule:
    """A finder that knows of no module of Unix."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in UNIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class InUse:
    """The files that are open or mapped, which nobody may replace or remove."""

    def __init__(self) -> None:
        self._held: list[tuple[weakref.ref[Any], tuple[int, int]]] = []

    def hold(self, thing: Any, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._held.append((weakref.ref(thing), (found.st_dev, found.st_ino)))

    def refuse(self, path: Any) -> None:
        try:
            found = os.stat(path)
        except OSError:
            return
        for reference, place in self._held:
            thing = reference()
            if thing is not None and not thing.closed and place == (found.st_dev, found.st_ino):
                raise PermissionError(13, "The process cannot access the file because it is in use", path)


def forbid_files_in_use() -> None:
    """Lets replacing and removing fail as on Windows."""
    in_use = InUse()
    plain_open, plain_map = builtins.open, mmap.mmap

    def opened(file: Any, *arguments: Any, **more: Any) -> Any:
        stream = plain_open(file, *arguments, **more)
        in_use.hold(stream, stream.fileno())
        return stream

    class Map(plain_map):  # type: ignore[misc, valid-type]
        def __new__(cls, descriptor: int, *arguments: Any, **more: Any) -> Map:
            made: Map = super().__new__(cls, descriptor, *arguments, **more)
            if descriptor >= 0:
                in_use.hold(made, descriptor)
            return made

        madvise: Any = property()

    builtins.open, mmap.mmap = opened, Map  # type: ignore[assignment, misc]
    for name in ("replace", "rename", "remove", "unlink"):
        plain: Callable[..., None] = getattr(os, name)

        def guarded(*paths: Any, plain: Callable[..., None] = plain, **more: Any) -> None:
            if not more.get("dir_fd"):
                for path in paths:
                    in_use.refuse(path)
            plain(*paths, **more)

        setattr(os, name, guarded)
    plain_descriptor = os.open

    def no_folders(path: Any, *arguments: Any, **more: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return plain_descriptor(path, *arguments, **more)

    os.open = no_folders  # type: ignore[assignment]


def become_windows() -> None:
    """Takes away what Windows has not."""
    numba.get_num_threads(), scipy.linalg, scipy.optimize, scipy.sparse.linalg, sklearn.utils, threadpoolctl
    numba.njit(lambda x: x + 1)(1)
    # As these modules have it on Windows.
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    for name in UNIX_MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, NoSuchModule())  # type: ignore[arg-type]
    for module, names in UNIX_NAMES.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    forbid_files_in_use()
    importlib.import_module("sparserec_np.runtime").MAPS_FILES = False  # as the name of the system says there


def failed_imports() -> dict[str, str]:
    """Imports every module of the library and of the command."""
    failures = {}
    for root in ("sparserec_np", "cli"):
        package = importlib.import_module(root)
        for found in pkgutil.walk_packages(package.__path__, f"{root}."):
            if not found.name.endswith("__main__"):
                try:
                    importlib.import_module(found.name)
                except Exception:
                    failures[f"import {found.name}"] = traceback.format_exc()
    return failures


def commands(folder: str) -> list[str]:
    """What a user does in a folder, one command after another."""
    from cli.main import COMMANDS  # what is imported before, has Unix's modules

    short = "--dim 8 --density 0.5 --epochs 1 --start spectral --learning-rate 0.01 --json"
    data, new, run = f"{folder}/all.csv", f"{folder}/new.csv", f"{folder}/run"
    return [
        "--help",
        *(f"{name} --help" for name in COMMANDS),
        f"data generate {data} --users 60 --items 40 --interactions 900 --seed 1",
        f"data generate {new} --users 70 --items 50 --interactions 300 --seed 2",
        f"data generate {folder}/newer.csv --users 80 --items 50 --interactions 500 --seed 3",
        f"data split {data} -o {folder}/split --test 0.2",
        f"data convert {data} {folder}/all.npz",
        f"data convert {data} {folder}/all.safetensors",
        f"data describe {folder}/all.safetensors",
        f"train {folder}/all.safetensors -o {run} --model mf {short}",
        f"train {data} -o {folder}/chosen --epochs 1 --json",
        f"train {data} -o {folder}/fism --model fism {short}",
        f"train {data} -o {folder}/neumf --model neumf {short.replace('spectral', 'uniform')}",
        f"train {data} -o {folder}/lightgcn --model lightgcn {short}",
        f"train {data} -o {folder}/itemknn --model itemknn --json",
        *(
            line
            for kind in ("run", "fism", "lightgcn", "neumf", "itemknn")
            for line in (
                f"inspect {folder}/{kind}",
                f"evaluate {folder}/{kind} {new} --json",
                f"recommend {folder}/{kind} --user 1",
                f"recommend {folder}/{kind} --all-users -o {folder}/lists.csv",
            )
        ),
        *(
            f"export {folder}/{kind} -o {folder}/model.safetensors --json"
            for kind in ("run", "fism", "itemknn")
        ),
        f"export {folder}/itemknn -o {folder}/itemknn/model.safetensors --json",
        f"update {run} {new} -o {folder}/run2 --epochs 1 --json",
        f"update {run} {new} -o {run} --epochs 1 --json",
        f"update {folder}/fism {new} -o {folder}/fism --json",
        f"update {run} {folder}/newer.csv -o {run} --epochs 1 --threads 1 --json",
        f"distill {run} {data} -o {folder}/small --dim 8 --density 0.3 --epochs 1 --json",
        f"similar {run} --item 1",
        f"export {run} -o {folder}/c --to c --json",
        "doctor",
    ]


LONG = [
    "quickstart --json",
    "gradcheck --model mf --loss bpr --against finite-differences --json",
    "warmup --json",
]


def failed_commands(lines: list[str]) -> dict[str, str]:
    from cli.main import main  # what is imported before, has Unix's modules

    failures = {}
    for line in lines:
        done = click.testing.CliRunner().invoke(main, line.split())
        if done.exit_code:
            trace = "".join(traceback.format_exception(done.exception)) if done.exception else ""
            failures[line] = done.output + trace
    return failures


if __name__ == "__main__":
    become_windows()
    lines = LONG if sys.argv[1] == "LONG" else commands(sys.argv[1])
    sys.stdout.write(json.dumps({**failed_imports(), **failed_commands(lines)}, indent=1) + "\n")
