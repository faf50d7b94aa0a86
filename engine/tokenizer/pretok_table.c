/* engine/tokenizer/pretok_table.c - the pre-tokenizers by name: patterns and flags.
 *
 * From: the split patterns that the model makers publish, and what each name of
 * tokenizer.ggml.pre stands for. The patterns are applied one after the other; each cuts the
 * pieces that the one before left. They are data of ours: a file only names one.
 *
 * Two departures from the published text, neither of which changes a match. Where a pattern
 * could look at a run of n characters n times (`\s+$`), it is bound to the start of the run;
 * where it could keep a way back for each character, the repeat is possessive. Groups of three
 * digits counted from the right (`@3..`) are cut by code (split.c), since the pattern is
 * quadratic. Split.c also says what \s is, which PCRE2 sees a little differently. */
#include "engine/tokenizer/inside.h"

// clang-format off
#define CONTRACTION \
    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define UPPER \
    "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define HAN \
    "\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{20000}-\\x{2A6DF}\\x{2A700}-\\x{2B73F}" \
    "\\x{2B740}-\\x{2B81F}\\x{2B820}-\\x{2EBEF}\\x{F900}-\\x{FAFF}" "\\x{2F800}-\\x{2FA1F}"
#define PUNCT_ASCII \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define TAIL \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const r1[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|]+",
    GPT2,
    "\\p{N}+",
    "[0-9][0-9][0-9]",
    NULL,
};
static const char *const r2[] = {
    "\\p{N}{1,3}",
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r3[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        TAIL,
    NULL,
};
static const char *const r4[] = {
    "[\\r\\n]",
    "\\s?[A-Za-z\\x{00B5}\\x{00C0}-\\x{00D6}\\x{00D8}-\\x{00F6}\\x{00F8}-\\x{01BA}"
        "\\x{01BC}-\\x{01BF}\\x{01C4}-\\x{0293}\\x{0295}-\\x{02AF}\\x{0370}-\\x{0373}"
        "\\x{0376}\\x{0377}\\x{037B}-\\x{037D}\\x{037F}\\x{0386}\\x{0388}-\\x{038A}"
        "\\x{038C}\\x{038E}-\\x{03A1}\\x{03A3}-\\x{03F5}\\x{03F7}-\\x{0481}"
        "\\x{048A}-\\x{052F}\\x{0531}-\\x{0556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}"
        "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}"
        "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"
        "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}"
        "\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}"
        "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}"
        "\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}"
        "\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}"
        "\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
        "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}"
        "\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}"
        "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}"
        "\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}"
        "\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"
        "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}"
        "\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+",
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}"
        "\\x{3000}-\\x{3002}]+",
    "(?<!\\s)\\s++\\z",
    "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
    "\\p{N}+",
    NULL,
};
static const char *const r5[] = {
    "[\\r\\n]",
    "\\s?\\p{L}+",
    "\\s?\\p{P}+",
    "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
    "\\p{N}",
    NULL,
};
static const char *const r6[] = {
    "\\p{N}{1,3}",
    "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
    PUNCT_ASCII
        "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r7[] = {
    "\\p{N}{1,3}",
    "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
    PUNCT_ASCII
        "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]"
        "|\\s+(?!\\S)|\\s+",
    "\\p{N}",
    NULL,
};
static const char *const r8[] = {
    "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}"
        "\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}"
        "\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+|[\\x{4E00}-\\x{9FA5}"
        "\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
        "+" LOWER "*" CONTRACTION "?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
    NULL,
};
static const char *const r9[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|`]+",
    GPT2,
    "[0-9][0-9][0-9]",
    NULL,
};
static const char *const r10[] = {
    GPT2,
    NULL,
};
static const char *const r11[] = {
    "\\p{N}",
    GPT2,
    NULL,
};
static const char *const r12[] = {
    CONTRACTION
        "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*["
        "\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}("
        "?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}",
    NULL,
};
static const char *const r13[] = {
    "[^\\n]+|[\\n]+",
    NULL,
};
static const char *const r14[] = {
    "\\S+",
    NULL,
};
static const char *const r15[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r16[] = {
    CONTRACTION
        "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n" "]*"
        TAIL,
    NULL,
};
static const char *const r17[] = {
    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+",
    NULL,
};
static const char *const r18[] = {
    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+",
    "\\p{N}",
    NULL,
};
static const char *const r19[] = {
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
        "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
    NULL,
};
static const char *const r20[] = {
    CONTRACTION
        "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}| ?[^\\s"
        "\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL,
};
static const char *const r21[] = {
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    "([\\t\\n]|    |  )",
    "\\p{N}",
    "[\\p{P}!-/:-@\\[-`{-~]",
    GPT2,
    NULL,
};
static const char *const r22[] = {
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
        "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
    NULL,
};
static const char *const r23[] = {
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
        "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
    NULL,
};
static const char *const r24[] = {
    "@3r",
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
        "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
    NULL,
};
static const char *const r25[] = {
    "\\p{N}+",
    "@3",
    NULL,
};
static const char *const r26[] = {
    "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL,
};
static const char *const r27[] = {
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" TAIL,
    NULL,
};
static const char *const r28[] = {
    "[" HAN "]+|[^\\r\\n\\p{L}\\p{N}]?(?:(?![" HAN "])\\p{L})++" CONTRACTION
        "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r29[] = {
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r30[] = {
    "@3r",
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{8C48}-\\x{FAFF}\\x{3040}-\\x{309F}"
        "\\x{30A0}-\\x{30FF}\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{0E40}-\\x{0E7F}"
        "\\x{0E80}-\\x{0EFF}\\x{1780}-\\x{17FF}\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}"
        "\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+",
    PUNCT_ASCII
        "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" TAIL,
    NULL,
};
static const char *const r31[] = {
    "[^\\n]+|[\\n]+",
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL,
    NULL,
};

const struct pre_rule tok_pre_rules[] = {
    {"a.x-4.0", r10, PRE_CLEAN},
    {"afmoe", r30, 0},
    {"bailingmoe", r26, 0},
    {"bailingmoe2", r26, 0},
    {"bloom", r17, PRE_CLEAN},
    {"chameleon", r21, PRE_ADD_BOS},
    {"chatglm-bpe", r3, PRE_CLEAN | PRE_NO_BOS},
    {"codeshell", r11, PRE_CLEAN},
    {"cohere2moe", r24, 0},
    {"command-r", r11, 0},
    {"dbrx", r3, PRE_CLEAN},
    {"deepseek-coder", r5, 0},
    {"deepseek-llm", r4, 0},
    {"deepseek-r1-qwen", r15, 0},
    {"deepseek-v3", r6, 0},
    {"default", r1, PRE_CLEAN},
    {"exaone", r11, PRE_CLEAN},
    {"exaone-moe", r20, PRE_CLEAN},
    {"exaone4", r10, PRE_CLEAN},
    {"f2llmv2", r15, 0},
    {"falcon", r9, PRE_CLEAN},
    {"falcon-h1", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"falcon3", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"gemma4", r13, PRE_CLEAN | PRE_RAW | PRE_ESCAPE | PRE_FORCE_BOS},
    {"gigachat", r10, PRE_CLEAN},
    {"glm4", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_NO_BOS},
    {"glm5", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_NO_BOS},
    {"gpt-2", r10, PRE_CLEAN},
    {"gpt-4o", r22, 0},
    {"gpt3-finnish", r17, PRE_CLEAN},
    {"granite-docling", r10, 0},
    {"granite-embed-multi-311m", r13, PRE_CLEAN | PRE_RAW | PRE_ESCAPE | PRE_FORCE_BOS},
    {"granite-embed-multi-97m", r23, PRE_IGNORE_MERGES},
    {"grok-2", r15, 0},
    {"hunyuan", r15, 0},
    {"hunyuan-dense", r6, 0},
    {"hy_v4", r6, 0},
    {"jais", r10, PRE_CLEAN},
    {"jais-2", r12, PRE_CLEAN},
    {"jina-de", r10, PRE_CLEAN},
    {"jina-es", r10, PRE_CLEAN},
    {"jina-v1-en", r10, PRE_CLEAN},
    {"jina-v2-code", r10, PRE_CLEAN},
    {"jina-v2-de", r10, PRE_CLEAN},
    {"jina-v2-es", r10, PRE_CLEAN},
    {"jina-v5-nano", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"joyai-llm", r6, 0},
    {"kanana2", r22, 0},
    {"kimi-k2", r28, PRE_MERGES_OPTIONAL},
    {"kormo", r15, 0},
    {"laguna", r31, 0},
    {"lfm2", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"llada-moe", r26, 0},
    {"llama-bpe", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"llama-v3", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"llama3", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"llama4", r22, 0},
    {"megrez", r15, PRE_CLEAN},
    {"mellum", r10, PRE_CLEAN},
    {"mellum2", r11, PRE_CLEAN},
    {"midm-2.0", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"minerva-7b", r11, PRE_CLEAN},
    {"minicpm5", r2, PRE_IGNORE_MERGES | PRE_CLEAN},
    {"minimax-m2", r22, 0},
    {"modern-bert", r10, PRE_CLEAN},
    {"mpt", r10, PRE_CLEAN},
    {"olmo", r10, PRE_CLEAN},
    {"phi-2", r10, PRE_CLEAN},
    {"pixtral", r3, PRE_IGNORE_MERGES | PRE_CLEAN | PRE_ADD_BOS},
    {"poro-chat", r17, 0},
    {"qwen2", r15, 0},
    {"qwen35", r16, 0},
    {"refact", r11, PRE_CLEAN},
    {"roberta-bpe", r10, PRE_CLEAN},
    {"sarvam-moe", r13, PRE_RAW | PRE_ESCAPE},
    {"seed-coder", r27, 0},
    {"smaug-bpe", r3, PRE_CLEAN},
    {"smollm", r11, 0},
    {"solar-open", r15, 0},
    {"spark2_5", r7, 0},
    {"stablelm2", r15, PRE_CLEAN},
    {"starcoder", r11, PRE_CLEAN},
    {"superbpe", r25, 0},
    {"talkie", r22, 0},
    {"tekken", r19, PRE_IGNORE_MERGES | PRE_ADD_BOS},
    {"tiny_aya", r24, 0},
    {"trillion", r10, 0},
    {"ufakzeka", r29, 0},
    {"viking", r18, 0},
    {"whitespace", r14, PRE_CLEAN | PRE_RAW | PRE_DROP_GAPS},
    {"youtu", r8, PRE_IGNORE_MERGES},
};
const size_t tok_n_pre_rules = sizeof tok_pre_rules / sizeof tok_pre_rules[0];
// clang-format on
