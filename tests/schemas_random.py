"""tests/schemas_random.py - schemas as users write them, from a random.Random."""


def random_schema(r, depth=0):
    """A schema as users write them: objects of a few properties, lists, enums, limits."""
    kinds = ["string", "integer", "number", "boolean", "enum", "const", "pattern", "range", "format", "union"]
    kind = r.choice(kinds + (["object", "array", "object", "array", "oneof", "allof"] if depth < 3 else []))
    if kind == "object":
        names = r.sample(["id", "name", "kind", "x y", "größe", "tags", "n", "last", "a\"b"], r.randint(0, 5))
        s = {"type": "object", "properties": {n: random_schema(r, depth + 1) for n in names},
             "required": [n for n in names if r.random() < 0.6]}
        if r.random() < 0.5:
            s["additionalProperties"] = r.choice([False, False, {"type": "integer"}])
        if r.random() < 0.2:
            s["minProperties"] = r.randint(0, len(names))
        return s
    if kind == "array":
        s = {"type": "array", "items": random_schema(r, depth + 1)}
        if r.random() < 0.6:
            s["minItems"] = r.randint(0, 2)
            s["maxItems"] = s["minItems"] + r.randint(0, 3)
        return s
    if kind == "oneof":
        return {"oneOf": [{"type": "object", "properties": {"t": {"const": k}, "v": random_schema(r, depth + 1)},
                           "required": ["t"]} for k in ("p", "q")]}
    if kind == "allof":
        return {"allOf": [{"type": "object", "properties": {"a": random_schema(r, depth + 1)}, "required": ["a"]},
                          {"properties": {"b": random_schema(r, depth + 1)}}]}
    if kind == "union":
        return {"anyOf": [random_schema(r, depth + 1), {"type": "null"}]} if depth < 3 else {"type": "null"}
    if kind == "string":
        s = {"type": "string"}
        if r.random() < 0.5:
            s["minLength"] = r.randint(0, 3)
            s["maxLength"] = s["minLength"] + r.randint(0, 9)
        return s
    if kind == "range":
        lo = r.randint(-1000, 1000)
        return {"type": r.choice(["integer", "number"]), "minimum": lo, "exclusiveMaximum": lo + r.randint(1, 5000)}
    if kind == "enum":
        return {"enum": r.sample([1, 2.5, "a", "ab", None, True, -7, "", "ü", [1], {"k": []}], r.randint(1, 5))}
    if kind == "const":
        return {"const": r.choice([0, "x", False, {"a": [1, "b"]}, [[]], 1.25])}
    if kind == "pattern":
        return {"type": "string", "pattern": r.choice(["^[a-z]{2,5}$", "^\\d+(\\.\\d+)?$", "x", "^(a|b)*c$",
                                                       "^[^,]+,[^,]+$", "^(?=.*[0-9])[a-z0-9]{4}$"])}
    if kind == "format":
        return {"type": "string", "format": r.choice(["date", "date-time", "uuid", "ipv4", "ipv6", "email", "time"])}
    return {"type": kind}
