#!/usr/bin/env python3
"""Print kernels/ref/grids.c: the code books of the IQ types, from the PyPI package `gguf`.

    pip install gguf numpy && kernels/ref/make_grids.py > kernels/ref/grids.c

An entry is packed in 16 bits: 8 values of 2 bits, or 4 of 3 bits, each the place of the value in the
book's list of values; value 0 in the lowest bits. kernels/ref/books.c widens them.
"""
import gguf.quants as q

HEAD = """/* kernels/ref/grids.c - the code books of the IQ types: data of the file format. Made by
 * kernels/ref/make_grids.py from the Python package `gguf` %s (MIT licence: kernels/NOTICE).
 * An entry: 8 values of 2 bits, or 4 of 3 bits, lowest first (kernels/ref/books.c). */
#include "kernels/ref/books.h"

// clang-format off"""
BOOKS = (("iq2_xxs", q.IQ2_XXS, 2), ("iq2_xs", q.IQ2_XS, 2), ("iq2_s", q.IQ2_S, 2),
         ("iq1", q.IQ1_S, 2), ("iq3_xxs", q.IQ3_XXS, 3), ("iq3_s", q.IQ3_S, 3))


def main():
    from importlib.metadata import version
    print(HEAD % version("gguf"))
    for name, kind, bits in BOOKS:
        kind.init_grid()
        values = list(kind.grid_map)
        print(f"\nconst uint16_t grid_{name}[{kind.grid_shape[0]}] = {{")
        line = "   "
        for row in kind.grid.reshape(kind.grid_shape):
            word = " %d," % sum(values.index(v) << (bits * i) for i, v in enumerate(row))
            if len(line) + len(word) > 100:
                print(line)
                line = "   "
            line += word
        print(line)
        print("};")


main()
