/* tests/fake_server.c - `chaski serve` with the fake engine: the same command, other tokens. */
#include <string.h>
#include "tools/commands.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0) { /* started as the real program is */
        argc--;
        argv++;
    }
    return cmd_serve(argc, argv);
}
