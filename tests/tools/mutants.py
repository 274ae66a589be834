"""Finds what can be changed in a header: one operator, one constant, one enumerator at a time. Used by mutate.py."""
import re

# The house style puts blanks around binary operators and none around template brackets, pointers and references.
SWAPS = {" == ": [" != "], " != ": [" == "], " < ": [" <= ", " > "], " <= ": [" < ", " > "], " > ": [" >= ", " < "],
         " >= ": [" > ", " < "], " + ": [" - "], " - ": [" + "], " * ": [" / ", " + "], " / ": [" * "], " % ": [" / "],
         " && ": [" || "], " || ": [" && "], " += ": [" -= "], " -= ": [" += "], " *= ": [" /= "]}
OPERATOR = re.compile("|".join(re.escape(s) for s in sorted(SWAPS, key=len, reverse=True)))
WORDS = {"true": ["false"], "false": ["true"], "0": ["1"], "1": ["0", "2"], "2": ["1", "3"]}
WORD = re.compile(r"(?<![\w.'])(true|false|0|1|2)(?![\w.'])")
EXTREME = re.compile(r"\bstd::(min|max)\b")
NEGATION = re.compile(r"(?<=[\s(])!(?=[\w(])")
ARMS = re.compile(r"\? (?P<a>[\w:.\->\[\]]+) : (?P<b>[\w:.\->\[\]]+)(?=[\s;,)}])")
ENUM = re.compile(r"\benum class (\w+)[^{;]*\{([^}]*)\}", re.S)
ENUMERATOR = re.compile(r"\b(\w+)::(\w+)\b(?!\(|<|::)")
SKIPPED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*|'
                     r"\bstatic_assert\s*\(|\boperator\s*\S+|"
                     r"\benum class [^{;]*\{[^}]*\}|\b(?:template|concept|requires)\b|\)[\w\s]*= 0;|"
                     r"\bok = true; (?=static_assert)", re.M | re.S)           # pure virtual; a value behind a failed assertion


class Mutant:
    """One change: `old` at `offset` of `file` becomes `new`."""

    def __init__(self, file, text, offset, old, new):
        self.file, self.offset, self.old, self.new = file, offset, old, new
        self.line = text.count("\n", 0, offset) + 1
        self.source = text.splitlines()[self.line - 1].strip()

    def __str__(self):
        return f"{self.file}:{self.line}: {self.old.strip()} -> {self.new.strip() or '(dropped)'}   {self.source[:100]}"

    def applied(self, text):
        assert text.startswith(self.old, self.offset)
        return text[: self.offset] + self.new + text[self.offset + len(self.old):]


def closing_bracket(text, start, pairs="()"):
    """The offset after the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == pairs[0]) - (text[i] == pairs[1])
        if depth == 0:
            return i + 1
    return len(text)


def code_only(text):
    """`text` with all blanked that is no running code: comments, strings, directives, static_asserts, enums, template heads."""
    kept = list(text)

    def blank(start, end):
        for i in range(start, end):
            if kept[i] != "\n":
                kept[i] = "\0"

    position = 0
    while True:
        match = SKIPPED.search(text, position)
        if not match:
            return "".join(kept)
        end, word = match.end(), match.group()
        if word.startswith("static_assert"):
            end = closing_bracket(text, match.end() - 1)
        elif word == "template":
            rest = re.compile(r"\s*<").match(text, end)
            end = closing_bracket(text, rest.end() - 1, "<>") if rest else end
        blank(match.start(), end)
        position = max(end, match.start() + 1)


def enumerations(texts):
    """Enumerators by enumeration, over all the files together."""
    found = {}
    for text in texts:
        for name, body in ENUM.findall(text):
            body = re.sub(r"//[^\n]*|/\*.*?\*/", "", body, flags=re.S)
            names = [part.split("=")[0].strip() for part in body.split(",")]
            found[name] = [n for n in names if re.fullmatch(r"\w+", n)]
    return found


def mutants_of(file, text, enums, random):
    """Every mutant of one file; where a token could become several things, `random` picks one."""
    code = code_only(text)

    def mutant(offset, old, choices):
        return Mutant(file, text, offset, old, random.choice(choices))

    for match in OPERATOR.finditer(code):
        yield mutant(match.start(), match.group(), SWAPS[match.group()])
    for match in WORD.finditer(code):
        yield mutant(match.start(), match.group(), WORDS[match.group()])
    for match in EXTREME.finditer(code):
        yield mutant(match.start(), match.group(), ["std::max" if match.group(1) == "min" else "std::min"])
    for match in NEGATION.finditer(code):
        yield mutant(match.start(), "!", [""])
    for match in ARMS.finditer(code):
        if match["a"] != match["b"]:
            yield mutant(match.start(), match.group(), [f"? {match['b']} : {match['a']}"])
    for match in ENUMERATOR.finditer(code):
        others = [n for n in enums.get(match.group(1), []) if n != match.group(2)]
        if match.group(2) in enums.get(match.group(1), []) and others:
            yield mutant(match.start(), match.group(), [f"{match.group(1)}::{other}" for other in others])
