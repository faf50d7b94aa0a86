#!/usr/bin/env python3
"""tests/run_encodings.py OBJDUMP LIBKERNELS.A - each x86 ISA's objects hold the instructions that they are
for, and AVX2's and AVX-VNNI's none that only AVX-512 has (a flag that leaked). For CPUs that the
machine of the tests is not."""
import re
import subprocess
import sys

NEEDED = {  # object -> what must be there
    "mm_blocks_avx2": [r"vpmaddubsw .*%ymm"],
    "mm_blocks_avxvnni": [r"\{vex\} vpdpbusd .*%ymm"],
    "mm_supers_avxvnni": [r"\{vex\} vpdpbusd .*%ymm"],
    "mm_blocks_avx512": [r"vpmaddubsw .*%zmm"],
    "mm_supers_avx512": [r"vpmaddubsw .*%zmm"],
    "mm_blocks_avx512vnni": [r"vpdpbusd .*%zmm"],
    "mm_supers_avx512vnni": [r"vpdpbusd .*%zmm"],
    "mm_books_avx512vbmi": [r"vperm[it]2b .*%zmm", r"vpmultishiftqb .*%zmm"],
    "mm_digits_avx512vbmi": [r"vperm[it]2b .*%zmm"],
    "mm_bf16_avx512bf16": [r"vdpbf16ps .*%zmm", r"vcvtne2ps2bf16 .*%zmm"],
    "mm_bf16_amx": [r"tdpbf16ps .*%tmm", "tileloadd", "tilestored", "ldtilecfg", "tilerelease"],
    "mm_amx": [r"tdpbssd .*%tmm", "tileloadd", "tilestored", "ldtilecfg", "tilerelease"],
}
WIDE = re.compile(r"%zmm|%[xy]mm(1[6-9]|2\d|3[01])\b|%k[0-7]\b|\{evex\}")

text = subprocess.run([sys.argv[1], "-d", "--no-show-raw-insn", sys.argv[2]], capture_output=True,
                      text=True, check=True).stdout
objects = {}
for part in re.split(r"\n(?=\S+\.o:\s+file format)", text):
    head = re.match(r"\s*(\S+)\.c\.o:", part)
    if head:
        objects[head.group(1).split("x86_")[-1]] = part
bad = []
for name, needed in NEEDED.items():
    if name not in objects:
        bad.append(f"{name}: not in the library")
        continue
    bad += [f"{name}: no {n}" for n in needed if not re.search(n, objects[name])]
for name, body in objects.items():
    if name.endswith(("_avx2", "_avxvnni")) and (hit := WIDE.search(body)):
        bad.append(f"{name}: {hit.group(0)} is AVX-512's")
print("\n".join(bad) or f"encodings: {len(NEEDED)} objects as they should be")
sys.exit(bool(bad))
