/* tools/address.h - the meaning of OLLAMA_HOST, for the client and for the server. */
#ifndef CHASKI_TOOLS_ADDRESS_H
#define CHASKI_TOOLS_ADDRESS_H

struct address {
    char scheme[8]; /* "http" or "https" */
    char host[256]; /* without brackets */
    int port;
    char path[256]; /* "" or "/x", no slash at the end */
};

/* `[scheme://][host][:port][/path]`, white space and quotes around it trimmed. Anything that is
 * missing or wrong gets its default: never fails. `text` may be NULL. */
void address_parse(const char *text, struct address *out);

#endif
