/* engine/grammar/formats.c - what `format` means, as patterns.
 *
 * Sources: RFC 3339 (date, time, date-time, duration), RFC 5321 and 1123 (email, hostname), RFC
 * 2673 and 4291 (ip), RFC 3986 (uri), RFC 4122 (uuid), RFC 6901 (json-pointer). A pattern takes
 * what is right without doubt and may leave rare forms out (quoted mail names, leap seconds): an
 * answer is written in it, so it need not be all that the RFC allows. Where it leaves some out
 * there is a second, loose pattern that takes more than the format: what it does not take is no
 * such text, by any reading. */
#include "engine/grammar/inside.h"

#include <string.h>

#define DATE                                                                                       \
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"                                 \
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"                          \
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define TIME                                                                                       \
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"                                 \
    "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define SPAN "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
#define BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define H "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H ":" H "|" IPV4 ")"
#define IPV6                                                                                       \
    "(?:(?:" H ":){6}" LS32 "|::(?:" H ":){5}" LS32 "|(?:" H ")?::(?:" H ":){4}" LS32 "|(?:" H     \
    "(?::" H ")?)?::(?:" H ":){3}" LS32 "|(?:" H "(?::" H "){0,2})?::(?:" H ":){2}" LS32 "|(?:" H  \
    "(?::" H "){0,3})?::" H ":" LS32 "|(?:" H "(?::" H "){0,4})?::" LS32 "|(?:" H "(?::" H         \
    "){0,5})?::" H "|(?:" H "(?::" H "){0,6})?::)"
#define LABEL(n) "[A-Za-z0-9](?:[A-Za-z0-9-]{0," n "}[A-Za-z0-9])?"
#define LAST(n) "[A-Za-z](?:[A-Za-z0-9-]{0," n "}[A-Za-z0-9])?"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define PCT "%[0-9A-Fa-f]{2}"
#define PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" PCT ")"
#define SEGMENT0 "(?:[A-Za-z0-9._~!$&'()*+,;=@:-]|" PCT ")"
#define HOST "(?:[A-Za-z0-9._~!$&'()*+,;=-]|" PCT ")*"
#define USER "(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" PCT ")*"
#define TAIL "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define PATH "(?:/" PCHAR "*)*"

static const struct {
    const char *name, *pattern;
    const char *loose; /* NULL: the pattern is exact */
} formats[] = {
    {"date", "^(?!0000)" DATE "$", NULL},
    {"time", "^" TIME "$", "[0-9]:[0-9]"},
    {"date-time", "^(?!0000)" DATE "T" TIME "$", "[0-9]:[0-9]"},
    {"duration",
     "^P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:T" SPAN
     ")?|T" SPAN ")$",
     "^P"},
    {"email",
     "^(?=[^@]{1,64}@)" ATEXT "+(?:\\." ATEXT "+)*@(?:" LABEL("28") "\\.){1,6}" LAST("28") "$",
     "@"},
    /* All in all 253 characters at most: few long labels, or more short ones. */
    {"hostname",
     "^(?:(?:" LABEL("61") "\\.){0,2}" LAST("61") "|(?:" LABEL("28") "\\.){0,6}" LAST("28") ")$",
     "^[^ @/:]*$"},
    {"ipv4", "^" IPV4 "$", NULL},
    {"ipv6", "^" IPV6 "$", NULL},
    {"uuid", "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", NULL},
    {"uri",
     "^[A-Za-z][A-Za-z0-9+.-]*:(?://(?:" USER "@)?" HOST "(?::[0-9]*)?" PATH "|/(?:" PCHAR "+" PATH
     ")?|" SEGMENT0 "+" PATH "|)" TAIL "$",
     ":"},
    {"json-pointer", "^(?:/(?:[^~/]|~[01])*)*$", NULL},
};

/* Words of the standard that are rules, and that are not done. All other words carry no rule. */
static const char *const not_done[] = {"idn-email", "idn-hostname",         "uri-reference",
                                       "iri",       "iri-reference",        "uri-template",
                                       "regex",     "relative-json-pointer"};

struct dfa *format_dfa(struct arena *a, const char *name, bool loose, struct err *e)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) {
            const char *p = loose && formats[i].loose ? formats[i].loose : formats[i].pattern;
            return regex_compile(a, p, strlen(p), e);
        }
    for (size_t i = 0; i < sizeof not_done / sizeof *not_done; i++)
        if (strcmp(not_done[i], name) == 0)
            err_set(e, ERR_UNSUPPORTED, "format \"%s\"", name);
    return NULL;
}
