//! Hostile programs, and how each must end. A table: the self-test of `m3 doctor` and the integration test read the
//! same one.

use super::job::{Ending, Limit};

/// A program that tries something, and what is right for it.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What it tries.
    pub name: &'static str,
    /// The candidate; the tests are `assert f(3) == 9` for all.
    pub candidate: &'static str,
    /// How it must end.
    pub expected: Expected,
}

/// How an attack must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It tries something forbidden, returns 9 if it is refused, and raises if it succeeds. So it must pass.
    Refused,
    /// An exception of this type comes out.
    Raises(&'static str),
    /// A time limit ends it; either may come first.
    TimedOut,
    /// Its process ends without a verdict.
    Ends,
    /// Any ending but passed.
    NotPassed,
}

impl Expected {
    /// Whether an ending is the expected one.
    pub fn is_met_by(self, ending: &Ending) -> bool {
        match (self, ending) {
            (Self::Refused, Ending::Passed)
            | (Self::TimedOut, Ending::TimedOut { which: Limit::Wall | Limit::Cpu })
            | (Self::Ends, Ending::Exited { .. } | Ending::Crashed { .. }) => true,
            (Self::Raises(wanted), Ending::Failed { kind, .. }) => wanted == kind,
            (Self::NotPassed, ending) => *ending != Ending::Passed,
            _ => false,
        }
    }
}

/// The tests that every attack is judged by.
pub(super) const TESTS: &str = "assert f(3) == 9";

const fn attack(name: &'static str, candidate: &'static str, expected: Expected) -> Attack {
    Attack { name, candidate, expected }
}

/// The list.
pub const ATTACKS: &[Attack] = &[
    attack(
        "connect to the network",
        "import socket\ndef f(x):\n    try:\n        socket.create_connection(('127.0.0.1', 22), 1)\n    except OSError as e:\n        assert not isinstance(e, ConnectionRefusedError), 'the network was asked'\n        return 9\n    raise Exception('connected')",
        Expected::Refused,
    ),
    attack(
        "send to a socket of the host",
        "import errno, socket\ndef f(x):\n    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n    assert a.send(b'x') == 1 and b.recv(1) == b'x'\n    for to in ['/dev/log', '/run/systemd/journal/dev-log', '\\0x']:\n        try:\n            a.sendmsg([b'x'], [], 0, to)\n            raise Exception('sent')\n        except OSError:\n            pass\n        try:\n            a.sendto(b'x', to)\n            raise Exception('sent')\n        except OSError as e:\n            assert e.errno == errno.EPERM, e\n    return 9",
        Expected::Refused,
    ),
    attack(
        "read /etc/passwd",
        "def f(x):\n    try:\n        open('/etc/passwd').read()\n    except OSError:\n        return 9\n    raise Exception('read')",
        Expected::Refused,
    ),
    attack(
        "read another process's memory map",
        "import os\ndef f(x):\n    for pid in ['self', '1', str(os.getppid())]:\n        for name in ['environ', 'maps', 'mem']:\n            try:\n                open(f'/proc/{pid}/{name}', 'rb').close()\n            except OSError:\n                continue\n            raise Exception('opened')\n    return 9",
        Expected::Refused,
    ),
    attack(
        "write outside /tmp",
        "def f(x):\n    for path in ['/usr/x', '/x', '/etc/x', '/usr/lib/x', '/dev/x', '/home/x', '/var/tmp/x']:\n        try:\n            open(path, 'w').close()\n        except OSError:\n            continue\n        raise Exception('wrote ' + path)\n    return 9",
        Expected::Refused,
    ),
    attack(
        "write over the interpreter",
        "import os\ndef f(x):\n    for path in [os.__file__, '/usr/bin/env', '/lib/x']:\n        try:\n            open(path, 'r+b').close()\n        except OSError:\n            continue\n        raise Exception('opened ' + path)\n    return 9",
        Expected::Refused,
    ),
    attack(
        "fill the disk",
        "import errno\ndef f(x):\n    block = b'x' * 1000000\n    try:\n        for i in range(200):\n            with open(f'/tmp/{i}', 'wb') as out:\n                out.write(block)\n    except OSError as e:\n        assert e.errno in (errno.ENOSPC, errno.EACCES), e\n        return 9\n    raise Exception('200 MB written')",
        Expected::Refused,
    ),
    attack(
        "make a file of any size",
        "import signal\ndef f(x):\n    try:\n        with open('/tmp/big', 'wb') as out:\n            out.truncate(1 << 40)\n    except OSError:\n        return 9\n    raise Exception('made')",
        Expected::Refused,
    ),
    attack(
        "take 8 GB of memory",
        "def f(x):\n    return len(bytearray(8 << 30))",
        Expected::Raises("MemoryError"),
    ),
    attack(
        "take memory bit by bit",
        "def f(x):\n    held = []\n    while True:\n        held.append(bytearray(32 << 20))",
        Expected::NotPassed,
    ),
    attack(
        "fork",
        "import ctypes\ndef f(x):\n    if ctypes.CDLL(None).fork() == -1:\n        return 9\n    while True:\n        ctypes.CDLL(None).fork()",
        Expected::Refused,
    ),
    attack(
        "start a program",
        "import os\ndef f(x):\n    try:\n        os.posix_spawn('/bin/true', ['true'], {})\n    except OSError:\n        return 9\n    raise Exception('started')",
        Expected::Refused,
    ),
    attack(
        "start a daemon",
        "import ctypes, time\nc = ctypes.CDLL(None)\ndef f(x):\n    if c.fork() > 0:\n        raise Exception('forked')\n    c.setsid()\n    if c.fork() > 0:\n        time.sleep(600)\n    return 9",
        Expected::Refused,
    ),
    attack(
        "start threads without end",
        "import threading, time\ndef f(x):\n    while True:\n        threading.Thread(target=time.sleep, args=(600,)).start()",
        Expected::Raises("RuntimeError"),
    ),
    attack("loop for ever", "def f(x):\n    while True:\n        pass", Expected::TimedOut),
    attack("sleep", "import time\ndef f(x):\n    time.sleep(600)", Expected::TimedOut),
    attack(
        "ignore every signal",
        "import signal\nfor s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ndef f(x):\n    while True:\n        try:\n            while True:\n                pass\n        except BaseException:\n            pass",
        Expected::TimedOut,
    ),
    attack(
        "kill the neighbours",
        "import ctypes, os\nc = ctypes.CDLL(None)\ndef f(x):\n    for pid in [-1, os.getppid(), 1, 2] + list(range(os.getpid() - 5, os.getpid() + 5)):\n        if pid not in (0, os.getpid()):\n            assert c.kill(pid, 0) == -1 and c.kill(pid, 9) == -1, pid\n            assert c.tgkill(pid, pid, 9) == -1, pid\n            assert c.syscall(424, pid, 9, 0, 0) == -1, pid\n    return 9",
        Expected::Refused,
    ),
    attack("print without end", "def f(x):\n    while True:\n        print('x' * 10000)", Expected::TimedOut),
    attack(
        "read the environment",
        "import os\ndef f(x):\n    known = {'PATH', 'HOME', 'LANG', 'TZ', 'PYTHONHASHSEED', 'PYTHONUTF8', 'MALLOC_ARENA_MAX', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'LC_CTYPE', 'PWD'}\n    assert set(os.environ) <= known, set(os.environ) - known\n    return 9",
        Expected::Refused,
    ),
    attack(
        "trace a process",
        "import ctypes\ndef f(x):\n    assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == -1, 'traced'\n    return 9",
        Expected::Refused,
    ),
    attack(
        "change the limits of other processes",
        "import ctypes, os\nc = ctypes.CDLL(None)\ndef f(x):\n    limit = (ctypes.c_ulong * 2)(1, 1)\n    for pid in [os.getppid(), 1, 2]:\n        if pid not in (0, os.getpid()):\n            assert c.prlimit(pid, 0, limit, None) == -1, pid\n            assert c.sched_setaffinity(pid, 8, limit) == -1 and c.setpriority(0, pid, 19) == -1, pid\n    return 9",
        Expected::Refused,
    ),
    attack(
        "change what a file is called, whose it is, and when",
        "import ctypes, os\nc = ctypes.CDLL(None)\ndef f(x):\n    for path in [os.__file__, '/etc/passwd', '/usr', '/var/tmp']:\n        p = path.encode()\n        assert c.chmod(p, 0o777) == -1 and c.chown(p, 0, 0) == -1 and c.truncate(p, 0) == -1, path\n        assert c.utimensat(-100, p, None, 0) == -1 and c.rename(p, p + b'x') == -1, path\n        assert c.symlink(p, p + b'x') == -1 and c.unlink(p) == -1 and c.setxattr(p, b'user.x', b'x', 1, 0) == -1, path\n    return 9",
        Expected::Refused,
    ),
    attack(
        "make namespaces of its own",
        "import ctypes\ndef f(x):\n    assert ctypes.CDLL(None).unshare(0x10000000) == -1, 'unshared'\n    return 9",
        Expected::Refused,
    ),
    attack(
        "mount",
        "import ctypes\ndef f(x):\n    assert ctypes.CDLL(None).mount(b'tmpfs', b'/tmp', b'tmpfs', 0, b'') == -1, 'mounted'\n    return 9",
        Expected::Refused,
    ),
    attack(
        "become root",
        "import ctypes, os\nc = ctypes.CDLL(None)\ndef f(x):\n    assert os.getuid() != 0 and c.setuid(0) == -1, 'root'\n    return 9",
        Expected::Refused,
    ),
    attack(
        "find open descriptors",
        "import os\ndef f(x):\n    for fd in range(5, 64):\n        try:\n            os.fstat(fd)\n        except OSError:\n            continue\n        raise Exception(fd)\n    return 9",
        Expected::Refused,
    ),
    attack("os._exit while loading", "import os\nos._exit(0)", Expected::Ends),
    attack("os._exit in the function", "import os\ndef f(x):\n    os._exit(0)", Expected::Ends),
    attack(
        "sys.exit in the function",
        "import sys\ndef f(x):\n    sys.exit(0)",
        Expected::Raises("SystemExit"),
    ),
    attack(
        "another program instead of itself",
        "import os\ndef f(x):\n    os.execv('/bin/true', ['true'])",
        Expected::NotPassed,
    ),
    attack(
        "claim to have passed",
        "import os\ndef f(x):\n    os.write(4, b'DP' + b'0' * 16)\n    os._exit(0)",
        Expected::NotPassed,
    ),
    attack(
        "claim to have passed while loading",
        "import os\nos.write(4, b'LDP' + b'0' * 16)\nos._exit(0)",
        Expected::NotPassed,
    ),
    attack(
        "flood the verdict channel",
        "import os\ndef f(x):\n    os.write(4, b'F\\xff\\xff\\xff\\x7f')\n    while True:\n        os.write(4, b'x' * 60000)",
        Expected::NotPassed,
    ),
    attack(
        "close the verdict channel",
        "import os\ndef f(x):\n    os.close(4)\n    return 9",
        Expected::NotPassed,
    ),
    attack("end by a signal", "import ctypes\ndef f(x):\n    ctypes.string_at(0)", Expected::Ends),
    attack(
        "overflow the C stack",
        "import sys\nsys.setrecursionlimit(10**9)\ndef g(n):\n    return [g(n + 1)] + sorted([n], key=lambda _: g(n + 1))\ndef f(x):\n    return g(0)",
        Expected::NotPassed,
    ),
];
