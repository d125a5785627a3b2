"""Run answer programs of the two programming sets in a child process with limits on time and memory.

The programs come from the small models of this family.  This is a guard against endless loops and not a sandbox.
"""

import contextlib
import io
import json
import resource
import signal
import subprocess
import sys

SECONDS = 1.0
MEMORY = 1 << 30


class _TimeUp(BaseException):
    pass


def _stop(*_):
    raise _TimeUp


def _passes(program: str) -> bool:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(program, {})
        return True
    except BaseException:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(programs: list[str]) -> list[bool]:
    """Whether each program ends without an exception."""
    answer = subprocess.run([sys.executable, "-I", __file__], input=json.dumps(programs), capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    return json.loads(answer.stdout)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _stop)
    print(json.dumps([_passes(program) for program in json.load(sys.stdin)]))
