#!/usr/bin/env python3
"""Writes what the linker takes for the CUDA libraries: lib<x>.a, whose functions open the true library at their first call.

    python3 scripts/cuda/stand_ins.py CUDARC CANDLE_KERNELS FOLDER

CUDARC is the source of the crate cudarc, in whose bindings the names of the functions are; FOLDER gets the archives, and left_out.o
with functions of the crate candle-kernels that m3 never calls: kernels for quantised weights (which m3 widens as it reads them) and
for mixtures of experts. They would be two thirds of the build's time and of the program. A program
that is linked with them starts on any machine. Where a library is missing, its functions answer an error code, which the program
reports as it would any error of CUDA. The folders in CUDA_SHIM_PATH (parted by `:`) are tried before the loader's own search;
with CUDA_SHIM_DEBUG set, stderr says which library or function was not found. x86-64 Linux only.
"""

import pathlib
import re
import subprocess
import sys

# Module of cudarc, name for the linker, file that is opened, what its functions answer where it is missing.
LIBRARIES = [
    ("driver", "cuda", "libcuda.so.1", 100),  # CUDA_ERROR_NO_DEVICE
    ("cublas", "cublas", "libcublas.so.13", 1),  # CUBLAS_STATUS_NOT_INITIALIZED
    ("cublaslt", "cublasLt", "libcublasLt.so.13", 1),
    ("curand", "curand", "libcurand.so.10", 203),  # CURAND_STATUS_INITIALIZATION_FAILED
    ("nvrtc", "nvrtc", "libnvrtc.so.13", 11),  # NVRTC_ERROR_INTERNAL_ERROR
]

# Each function jumps to where its place in the table points. An empty place leads to `slow`, which looks the function up with all
# registers of arguments kept, fills the place, and jumps.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { @NAMES@ };
__attribute__((visibility("hidden"))) void *@PREFIX@_table[sizeof names / sizeof *names];

static long missing(void) { return @CODE@; }

static void *open_library(void) {
    char path[4096];
    const char *folders = getenv("CUDA_SHIM_PATH");
    while (folders && *folders) {
        size_t length = strcspn(folders, ":");
        if (length && length + sizeof "/@FILE@" <= sizeof path) {
            memcpy(path, folders, length);
            strcpy(path + length, "/@FILE@");
            void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
            if (library) return library;
        }
        folders += length + (folders[length] == ':');
    }
    return dlopen("@FILE@", RTLD_NOW | RTLD_GLOBAL);
}

__attribute__((visibility("hidden"))) void *@PREFIX@_find(long place) {
    static void *library;
    void *opened = __atomic_load_n(&library, __ATOMIC_ACQUIRE);
    if (!opened && (opened = open_library())) __atomic_store_n(&library, opened, __ATOMIC_RELEASE);
    void *function = opened ? dlsym(opened, names[place]) : NULL;
    if (!function && getenv("CUDA_SHIM_DEBUG"))
        fprintf(stderr, "%s was not found: %s\n", names[place], opened ? "@FILE@ does not have it" : dlerror());
    if (!function) function = (void *)missing;
    __atomic_store_n(&@PREFIX@_table[place], function, __ATOMIC_RELEASE);
    return function;
}

__asm__(
    ".text\n"
    "@PREFIX@_slow:\n"
    "  push %rdi; push %rsi; push %rdx; push %rcx; push %r8; push %r9; push %rax\n"
    "  sub $128, %rsp\n"
    "  movups %xmm0, (%rsp); movups %xmm1, 16(%rsp); movups %xmm2, 32(%rsp); movups %xmm3, 48(%rsp)\n"
    "  movups %xmm4, 64(%rsp); movups %xmm5, 80(%rsp); movups %xmm6, 96(%rsp); movups %xmm7, 112(%rsp)\n"
    "  mov %r11, %rdi\n"
    "  call @PREFIX@_find\n"
    "  mov %rax, %r11\n"
    "  movups (%rsp), %xmm0; movups 16(%rsp), %xmm1; movups 32(%rsp), %xmm2; movups 48(%rsp), %xmm3\n"
    "  movups 64(%rsp), %xmm4; movups 80(%rsp), %xmm5; movups 96(%rsp), %xmm6; movups 112(%rsp), %xmm7\n"
    "  add $128, %rsp\n"
    "  pop %rax; pop %r9; pop %r8; pop %rcx; pop %rdx; pop %rsi; pop %rdi\n"
    "  jmp *%r11\n"
@FUNCTIONS@
    ".section .note.GNU-stack,\"\",@progbits\n.text\n"
);
"""

FUNCTION = (
    '    ".globl {name}\\n.type {name}, @function\\n{name}:\\n'
    "  mov {prefix}_table+{offset}(%rip), %r11\\n  test %r11, %r11\\n  jz 1f\\n  jmp *%r11\\n"
    '1: mov ${place}, %r11d\\n  jmp {prefix}_slow\\n"'
)


LEFT_OUT = """
void @NAME@(void) {
    fputs("@NAME@ was left out of this program (scripts/cuda/stand_ins.py)\\n", stderr);
    abort();
}
"""


def compiled(text, o):
    c = o.with_suffix(".c")
    c.write_text(text)
    subprocess.run(["gcc", "-O2", "-fPIC", "-c", "-o", o, c], check=True)
    c.unlink()


def source(prefix, file, code, names):
    functions = "\n".join(
        FUNCTION.format(name=name, prefix=prefix, place=place, offset=8 * place) for place, name in enumerate(names)
    )
    parts = {"NAMES": ", ".join(f'"{name}"' for name in names), "PREFIX": prefix, "CODE": str(code), "FILE": file}
    text = SOURCE.replace("@FUNCTIONS@", functions)
    for key, value in parts.items():
        text = text.replace(f"@{key}@", value)
    return text


def main():
    cudarc, kernels, folder = map(pathlib.Path, sys.argv[1:4])
    folder.mkdir(parents=True, exist_ok=True)
    for module, link, file, code in LIBRARIES:
        bindings = (cudarc / "src" / module / "sys" / "mod.rs").read_text()
        names = sorted(set(re.findall(r'load::<_F>\("(\w+)"\)', bindings)))
        if not names:
            sys.exit(f"no function was found in cudarc's bindings of {module}: they look otherwise than in version 0.19")
        o, a = folder / f"{link}.o", folder / f"lib{link}.a"
        compiled(source(f"m3_{link}", file, code, names), o)
        a.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", a, o], check=True)
        o.unlink()
        print(f"{a}: {len(names)} functions")
    names = re.findall(r"pub fn (\w+)\(", (kernels / "src" / "ffi.rs").read_text())
    if not names:
        sys.exit("no function was found in ffi.rs of candle-kernels: it looks otherwise than in version 0.11")
    functions = "".join(LEFT_OUT.replace("@NAME@", name) for name in names)
    compiled("#include <stdio.h>\n#include <stdlib.h>\n" + functions, folder / "left_out.o")
    compiled("", folder / "nothing.o")
    print(f"{folder / 'left_out.o'}: {len(names)} functions")


if __name__ == "__main__":
    main()
