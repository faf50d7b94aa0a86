/* tests/fuzz/replay.c - runs every file of the folders it is given through the fuzz target
 * that it is linked with, so that the corpus is a test with any compiler.
 *
 *     replay_gguf tests/fuzz/corpus/gguf
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t n = 0, cap = 0;
    if (!f) {
        perror(path);
        return -1;
    }
    for (;;) {
        if (n == cap) {
            cap = cap ? 2 * cap : 4096;
            uint8_t *more = realloc(data, cap);
            if (!more)
                break;
            data = more;
        }
        const size_t got = fread(data + n, 1, cap - n, f);
        if (!got)
            break;
        n += got;
    }
    fclose(f);
    /* A block of the exact size: the address sanitizer watches what follows. */
    uint8_t *exact = realloc(data, n ? n : 1);
    if (exact) {
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    return exact ? 0 : -1;
}

int main(int argc, char **argv)
{
    int n = 0, bad = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(d));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            bad |= replay_file(path);
            n++;
        }
        closedir(d);
    }
    printf("%d inputs\n", n);
    return bad || !n ? 1 : 0; /* an empty folder is a wrong path, not a passed test */
}
