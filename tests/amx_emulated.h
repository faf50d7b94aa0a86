/* tests/amx_emulated.h - AMX's tile instructions in plain C, for CPUs that have none.
 *
 * check_kernels compiles kernels/x86/mm_amx.c once more with this file before it (-include), so
 * that the names of the tile intrinsics mean these functions. After Intel's manual: shapes come
 * from the configuration, rows past a tile's shape read as zeros; what the CPU would answer with a
 * fault ends the program. A configuration that is loaded while one is there was not released: an
 * error here. */
#ifndef CHASKI_TESTS_AMX_EMULATED_H
#define CHASKI_TESTS_AMX_EMULATED_H

#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbf16ps
#define _tile_loadconfig emu_loadconfig
#define _tile_release emu_release
#define _tile_loadd emu_loadd
#define _tile_stored emu_stored
#define _tile_zero emu_zero
#define _tile_dpbssd emu_dpbssd
#define _tile_dpbf16ps emu_dpbf16ps

static _Thread_local struct {
    int configured;
    int rows[8], row_bytes[8];
    uint8_t v[8][16][64];
} emu;

static void emu_need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "amx_emulated: %s\n", what);
    exit(3);
}

static void emu_loadconfig(const void *config)
{
    const uint8_t *c = config;
    uint16_t row_bytes[16];
    memcpy(row_bytes, c + 16, sizeof row_bytes);
    emu_need(!emu.configured, "the last configuration was not released");
    emu_need(c[0] == 1 && c[1] == 0, "palette 1, row 0");
    for (int i = 2; i < 16; i++)
        emu_need(!c[i], "reserved bytes are zero");
    for (int t = 0; t < 16; t++) {
        emu_need(c[48 + t] <= 16 && row_bytes[t] <= 64 && (t < 8 || (!c[48 + t] && !row_bytes[t])),
                 "8 tiles of at most 16 rows of 64 bytes");
        emu_need(!c[48 + t] == !row_bytes[t], "rows without bytes, or bytes without rows");
        if (t < 8)
            emu.rows[t] = c[48 + t], emu.row_bytes[t] = row_bytes[t];
    }
    memset(emu.v, 0, sizeof emu.v);
    emu.configured = 1;
}

static void emu_release(void)
{
    emu.configured = 0;
    memset(emu.v, 0xa5, sizeof emu.v);
}

static void emu_used(int t)
{
    emu_need(emu.configured && emu.rows[t], "a tile without configuration");
}

static void emu_zero(int t)
{
    emu_used(t);
    memset(emu.v[t], 0, sizeof emu.v[t]);
}

static void emu_loadd(int t, const void *base, long stride)
{
    emu_used(t);
    memset(emu.v[t], 0, sizeof emu.v[t]);
    for (int r = 0; r < emu.rows[t]; r++)
        memcpy(emu.v[t][r], (const uint8_t *)base + r * stride, (size_t)emu.row_bytes[t]);
}

static void emu_stored(int t, void *base, long stride)
{
    emu_used(t);
    for (int r = 0; r < emu.rows[t]; r++)
        memcpy((uint8_t *)base + r * stride, emu.v[t][r], (size_t)emu.row_bytes[t]);
}

/* d[m][n] += four neighbours of a[m] times four of b[k][n], signed, for every k. */
static void emu_dpbssd(int d, int a, int b)
{
    emu_used(d), emu_used(a), emu_used(b);
    emu_need(d != a && d != b && a != b, "three different tiles");
    emu_need(emu.rows[d] == emu.rows[a] && emu.row_bytes[d] == emu.row_bytes[b] &&
                 emu.row_bytes[a] == 4 * emu.rows[b],
             "tiles whose shapes fit");
    for (int m = 0; m < emu.rows[d]; m++)
        for (int n = 0; n < emu.row_bytes[d] / 4; n++) {
            uint32_t sum; /* wraps, as the instruction does */
            memcpy(&sum, emu.v[d][m] + 4 * n, 4);
            for (int k = 0; k < emu.rows[b]; k++)
                for (int i = 0; i < 4; i++)
                    sum +=
                        (uint32_t)((int8_t)emu.v[a][m][4 * k + i] * (int8_t)emu.v[b][k][4 * n + i]);
            memcpy(emu.v[d][m] + 4 * n, &sum, 4);
        }
}

static float emu_bf16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* d[m][n] += the products of a[m]'s even values with b's, and of the odd ones, summed apart by FMA. (The
 * instruction also takes denormals as zeros.) */
static void emu_dpbf16ps(int d, int a, int b)
{
    emu_used(d), emu_used(a), emu_used(b);
    emu_need(d != a && d != b && a != b, "three different tiles");
    emu_need(emu.rows[d] == emu.rows[a] && emu.row_bytes[d] == emu.row_bytes[b] &&
                 emu.row_bytes[a] == 4 * emu.rows[b],
             "tiles whose shapes fit");
    for (int m = 0; m < emu.rows[d]; m++)
        for (int n = 0; n < emu.row_bytes[d] / 4; n++) {
            float s[2] = {0, 0}, y;
            for (int k = 0; k < emu.rows[b]; k++)
                for (int i = 0; i < 2; i++)
                    s[i] = __builtin_fmaf(emu_bf16(emu.v[a][m] + 4 * k + 2 * i),
                                          emu_bf16(emu.v[b][k] + 4 * n + 2 * i), s[i]);
            memcpy(&y, emu.v[d][m] + 4 * n, 4);
            y += s[0] + s[1];
            memcpy(emu.v[d][m] + 4 * n, &y, 4);
        }
}

#endif
