/* tools/systemd.c - the two words that systemd and a service say to each other: sockets that it
 * opened for us, and that we are ready. Facts: manual pages sd_listen_fds(3), sd_notify(3); both
 * are an environment variable and a datagram, so no library is needed. */
#include "tools/systemd.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "gguf/base.h"

enum { FIRST_FD = 3 };

int systemd_listen_fd(void)
{
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    const bool ours = pid && n && strtol(pid, NULL, 10) == (long)getpid();
    const long count = ours ? strtol(n, NULL, 10) : 0;
    unsetenv("LISTEN_PID"); /* not for children */
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count < 1)
        return -1;
    if (count > 1)
        log_line(LOG_WARN, "%ld sockets were passed, the first is used", count);
    return FIRST_FD;
}

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const size_t n = path ? strlen(path) : 0;
    if (!n || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') /* an abstract name */
        to.sun_path[0] = 0;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_line(LOG_WARN, "systemd could not be told \"%s\"", state);
    close(fd);
}
