# Runs one candidate and its tests; argv-less, talks over file descriptors 3 (in) and 4 (out). The last line, which
# calls it, is added where it runs: in an interpreter of its own, or in one that `zygote.py` kept ready.
#
#   out R                    ready; the clock starts
#   in  <candidate>          every message is a 4-byte little-endian length and that many bytes
#   out L                    the module body ran; only now the tests leave the parent
#   in  <tests>
#   out D                    the tests ran; only now the nonce leaves the parent
#   in  <nonce>
#   out P<nonce>             passed
#   out F<kind><text>        an exception came out, at either stage
#
# So ending early with exit code 0 is no success, and neither is writing these letters without having the nonce.
# A candidate that does not compile may still be a program together with its tests (or fail with another text):
# then the driver asks for the tests before anything ran, and treats both as the one source that the reference sees.
def drive():
    import builtins, gc, io, os, sys
    take, put, leave = os.read, os.write, os._exit
    build, run, number, size, anything = compile, exec, int.from_bytes, len, BaseException

    def exactly(n):
        parts = []
        while n:
            part = take(3, n)
            if not part:
                leave(97)
            parts.append(part)
            n -= size(part)
        return b"".join(parts)

    def receive():
        return exactly(number(exactly(4), "little"))

    def send(data):
        while data:
            data = data[put(4, data):]

    def packed(text):
        text = text[:4096]
        data = "".join(["\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text]).encode("utf-8")
        return size(data).to_bytes(4, "little") + data

    def failed(error):
        try:
            kind = packed(type(error).__name__)
        except anything:
            kind = packed("")
        try:
            text = packed(f"{error}")
        except anything:
            text = packed("<an exception without a text>")
        send(b"F" + kind + text)
        leave(1)

    # What the reference's swallow_io does, without keeping what is printed.
    class Swallow(io.StringIO):
        def write(self, text):
            if not isinstance(text, str):
                raise TypeError(f"string argument expected, got {type(text).__name__!r}")
            return size(text)

        def read(self, *args, **kwargs):
            raise OSError

        readline = readlines = read

        def readable(self, *args, **kwargs):
            return False

    # What the reference's reliability_guard takes away.
    builtins.exit = builtins.quit = builtins.help = None
    gone = (
        "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate "
        "replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
    ).split()
    had = {name: getattr(os, name) for name in gone if hasattr(os, name)}
    for name in gone:
        setattr(os, name, None)

    # The reference has these modules loaded before it takes anything away; here they come when they are asked for.
    class Later:
        modules = {"multiprocessing.process": "", "shutil": "rmtree move chown", "subprocess": "Popen"}

        def find_spec(self, name, path=None, target=None):
            if name not in self.modules:
                return None
            for finder in sys.meta_path:
                spec = None if finder is self else finder.find_spec(name, path, target)
                if spec is not None:
                    break
            else:
                return None
            load = spec.loader.exec_module

            def exec_module(module):
                now = {known: getattr(os, known) for known in had}
                vars(os).update(had)
                try:
                    load(module)
                finally:
                    vars(os).update(now)
                for lost in self.modules[name].split():
                    setattr(module, lost, None)

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Later())
    for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[name] = None
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    sys.argv, sys.orig_argv = [""], [""]
    sys.stdout, sys.stderr, sys.stdin = Swallow(), Swallow(), Swallow()

    # Garbage is not looked for while modules are loaded: that takes a tenth of the time of a usual program, and finds none.
    collects = gc.enable
    gc.disable()
    send(b"R")
    candidate = receive().decode("utf-8")
    space, whole = {}, False
    try:
        code = build(candidate, "<string>", "exec")
    except anything:
        whole = True
    if not whole:
        try:
            run(code, space)
        except anything as error:
            failed(error)
    collects()
    send(b"L")
    tests = receive().decode("utf-8")
    if whole:
        tests = candidate + "\n" + tests
    try:
        run(build(tests, "<string>", "exec"), space)
    except anything as error:
        failed(error)
    send(b"D")
    send(b"P" + receive())
    leave(0)

