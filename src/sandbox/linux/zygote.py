# Keeps an interpreter with the usual modules ready, and forks it for every program. Arguments: the driver's source, the
# system call filter in hex, the places in it where the process's own number stands, what may be done in /tmp by
# Landlock's rules (descriptor 4; 0 where there are none). It has the walls of its programs around it and the right to mount inside them; the programs have not.
#
#   in  <processor seconds><bytes of memory> with the driver's two descriptors
#   out F with a handle on the new process
#   out <status><user and system time in microseconds>, when it has ended
#
# All at module level, so that a program's stack is as deep as in an interpreter of its own.
import array, ctypes, gc, os, resource, signal, socket, struct, sys
import bisect, collections, copy, dataclasses, datetime, decimal, fractions, functools, heapq, io, itertools, json, math
import operator, random, re, statistics, string, time, types, typing

exec(compile(sys.argv[1], "<string>", "exec"))
filter_code = bytearray.fromhex(sys.argv[2])
own_places = [int(place) for place in sys.argv[3].split(",") if place]
access = int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
control = socket.socket(fileno=3)
signal.signal(signal.SIGINT, signal.SIG_IGN)
gc.collect()
gc.freeze()

while True:
    message, ancillary, _, _ = control.recvmsg(16, socket.CMSG_SPACE(8))
    if len(message) != 16:
        os._exit(0)
    ends = array.array("i", ancillary[0][2])
    child = os.fork()
    if child == 0:
        break
    for end in ends:
        os.close(end)
    handle = os.pidfd_open(child)
    control.sendmsg([b"F"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))])
    os.close(handle)
    _, status, usage = os.wait4(child, 0)
    micros = int(usage.ru_utime * 1e6) + int(usage.ru_stime * 1e6)
    control.sendall(struct.pack("<qq", status, micros))


def must(result):
    if result != 0:
        os._exit(98)


# A mount namespace of its own with an empty /tmp, and then no rights any more.
must(libc.unshare(0x00020000))
must(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", ctypes.c_ulong(2 | 4 | 8), b"size=16m,nr_inodes=1024,mode=1777"))
os.chdir("/tmp")
must(libc.prctl(47, 4, 0, 0, 0))  # no ambient capabilities
must(libc.capset(struct.pack("<Ii", 0x20080522, 0), bytes(24)))
signal.signal(signal.SIGINT, signal.default_int_handler)

seconds, memory = struct.unpack("<QQ", message)
for kind, most in (
    (resource.RLIMIT_AS, memory),
    (resource.RLIMIT_CPU, seconds),
    (resource.RLIMIT_FSIZE, 16 << 20),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_STACK, 8 << 20),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_NPROC, 128),
):
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))

control.detach()
if access:
    # The rules know the mounts of before; the new /tmp joins them, and then they hold.
    folder = os.open("/tmp", os.O_PATH | os.O_DIRECTORY)
    rule = ctypes.create_string_buffer(struct.pack("=Qi", access, folder))
    must(libc.syscall(ctypes.c_long(445), ctypes.c_long(4), ctypes.c_long(1), rule, ctypes.c_long(0)))
    must(libc.syscall(ctypes.c_long(446), ctypes.c_long(4), ctypes.c_long(0)))
os.dup2(ends[0], 60)
os.dup2(ends[1], 61)
os.dup2(60, 3)
os.dup2(61, 4)
os.closerange(5, 1024)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


for place in own_places:
    struct.pack_into("=I", filter_code, place, os.getpid())
if filter_code:
    must(libc.prctl(22, 2, ctypes.byref(Program(len(filter_code) // 8, bytes(filter_code)))))
drive()
