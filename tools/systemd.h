/* tools/systemd.h - socket activation and readiness, without libsystemd. */
#ifndef CHASKI_TOOLS_SYSTEMD_H
#define CHASKI_TOOLS_SYSTEMD_H

int systemd_listen_fd(void);            /* a socket that listens already, or -1 */
void systemd_notify(const char *state); /* "READY=1"; nothing where nobody asked */
#endif
