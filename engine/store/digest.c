/* engine/store/digest.c - digests as text and as 32 bytes, and SHA-256 through libcrypto.
 *
 * Facts: shared/spec store.md section 2: ^sha256[:-][0-9a-fA-F]{64}$, folded to lower case. Only
 * what digest_parse accepted is ever made a file name, by store_blob_file. */
#include "engine/store/inside.h"

#include <openssl/evp.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int digest_parse(const char *text, size_t n, struct digest *out, struct err *e)
{
    struct digest d;
    if (n != 71 || memcmp(text, "sha256", 6) || (text[6] != ':' && text[6] != '-'))
        return err_set(e, ERR_INPUT, "invalid digest format");
    for (size_t i = 0; i < 32; i++) {
        const int hi = hex_value(text[7 + 2 * i]), lo = hex_value(text[8 + 2 * i]);
        if (hi < 0 || lo < 0)
            return err_set(e, ERR_INPUT, "invalid digest format");
        d.sha256[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = d;
    return 0;
}

void digest_hex(const struct digest *d, char out[65])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = hex[d->sha256[i] >> 4];
        out[2 * i + 1] = hex[d->sha256[i] & 15];
    }
    out[64] = 0;
}

void digest_text(const struct digest *d, char out[DIGEST_TEXT])
{
    memcpy(out, "sha256:", 7);
    digest_hex(d, out + 7);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return !memcmp(a->sha256, b->sha256, sizeof a->sha256);
}

int store_sha256(const void *p, size_t n, struct digest *out, struct err *e)
{
    unsigned len = 0;
    if (!EVP_Digest(p, n, out->sha256, &len, EVP_sha256(), NULL) || len != sizeof out->sha256)
        return err_set(e, ERR_MEMORY, "cannot compute a SHA-256");
    return 0;
}
