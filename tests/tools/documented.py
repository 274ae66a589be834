#!/usr/bin/env python3
"""Checks that every public name of the library has a place in docs/, and writes docs/reference.md.

    python3 tests/tools/documented.py              # exit 1: a name that nothing explains, or a reference that is out of date
    python3 tests/tools/documented.py --write      # writes docs/reference.md
    python3 tests/tools/documented.py --list       # all public names, header by header

Public: a type, alias, concept, variable or function at the level of namespace shardproof or of one of its public namespaces, or
a macro SP_..., in a header that can be reached from those of ENTRIES. Not public: namespaces `detail`, `erased`, `laws` and the
like (PRIVATE), and specialisations. A name is explained by a page that shows it as code, in `backquotes` or in a fence, or by a
doc comment of its own, whose first sentence stands in the reference. What an author of models, plans or styles writes (GUIDED
headers) must stand on a page.
"""
import argparse
import re
import sys

from common import ROOT, closing, closure, relative, sources

ENTRIES = ["types.hpp", "shardproof.hpp", "hana.hpp", "engine/threads.hpp", "engine/environment.hpp", "io/checkpoint.hpp",
           "io/file.hpp", "model/causal_lm.hpp", "model/dry_check.hpp", "families/make.hpp", "families/erased.hpp",
           "tensor/check_laws.hpp", "tensor/operation.hpp", "report/explanation.hpp", "report/findings.hpp"]
PRIVATE = {"detail", "erased", "laws", "in_process", "json", "math", "hana", "boost", "operations"}
GUIDED = re.compile(r"plan/styles/|core/placement|layer/(embedding|linear|norm)\.|tensor/ops/(activation|attention|rope|split|"
                    r"cross_entropy)\.|engine/")
# Names of GUIDED headers that an author does not write, each with the reason; and names that nothing needs to explain.
EXCEPTIONS = {}
REFERENCE = ROOT / "docs" / "reference.md"
HEAD = """# Reference

Every public name, header by header, with the first sentence of its comment; those without one stand on a page of the
[documentation](README.md). The headers say more: a use, shapes, errors, sources. This page is made by
`python3 tests/tools/documented.py --write`.
"""

STARTS = ("struct", "class", "using", "inline", "constexpr", "auto", "void", "concept")
WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'|[A-Za-z_]\w*|::|[{}()<>;=,]|\S')


def without_comments(text):
    text = re.sub(r'R"\((.*?)\)"', '""', text, flags=re.S)
    text = re.sub(r'//[^\n]*|/\*.*?\*/|("(?:[^"\\\n]|\\.)*")', lambda m: m.group(1) or " ", text, flags=re.S)
    return re.sub(r"^[ \t]*#.*?(?<!\\)$", "", text, flags=re.M | re.S)


def skip(tokens, i, opening, closing_):
    """Behind the bracket that closes the one at i."""
    depth = 0
    while i < len(tokens):
        depth += (tokens[i] == opening) - (tokens[i] == closing_)
        i += 1
        if depth == 0:
            return i
    return i


def skip_angles(tokens, i):
    """Behind `<...>` at i; parentheses and braces inside are skipped whole."""
    depth = 0
    while i < len(tokens):
        if tokens[i] == "(":
            i = skip(tokens, i, "(", ")")
            continue
        if tokens[i] == "{":
            i = skip(tokens, i, "{", "}")
            continue
        depth += (tokens[i] == "<") - (tokens[i] == ">")
        i += 1
        if depth == 0:
            return i
    return i


def declared(tokens):
    """The name that one declaration at namespace level (tokens up to its body, `;` or `=`) introduces; None for none."""
    i, special = 0, False
    while i < len(tokens) and tokens[i] == "template":
        special = tokens[i + 1: i + 3] == ["<", ">"]
        i = skip_angles(tokens, i + 1)
        if i < len(tokens) and tokens[i] == "requires":              # up to what declares
            while i < len(tokens) and tokens[i] not in STARTS:
                i = skip(tokens, i, "(", ")") if tokens[i] == "(" else i + 1
    rest = tokens[i:]
    if not rest or special or rest[0] in ("static_assert", "friend", "extern"):
        return None
    if rest[0] == "using":
        return rest[1] if len(rest) > 2 and rest[2] == "=" else None
    if rest[0] == "concept":
        return rest[1] if len(rest) > 1 else None
    while rest and (rest[0] in ("inline", "constexpr", "constinit", "thread_local", "static", "explicit", "[")):
        rest = rest[skip(rest, 0, "[", "]"):] if rest[0] == "[" else rest[1:]
    if rest and rest[0] in ("struct", "class", "enum", "union"):
        k = 2 if rest[1] in ("class", "struct") else 1
        if rest[k] == "alignas":
            k = skip(rest, k + 1, "(", ")")
        name, behind = rest[k], rest[k + 1: k + 2]
        if behind in (["<"], ["::"]):
            return None                                              # a specialisation
        if not behind or behind[0] in ("{", ":", ";", "final", "requires"):
            return name
    # A function or a variable: the last name before its arguments, its value or its end.
    k = 0
    while k < len(rest) and rest[k] not in ("(", "=", ";", "{"):
        k = skip_angles(rest, k) if rest[k] == "<" else k + 1
    name = rest[k - 1] if k else ""
    if "operator" in rest[:k] or not re.fullmatch(r"[A-Za-z_]\w*", name) or (k >= 2 and rest[k - 2] == "::"):
        return None
    return None if name in ("requires", "decltype", "noexcept", "alignas") else name


def ending(tokens, i):
    """Where the declaration at i has its body, its value or its end."""
    start = i
    while i < len(tokens) and tokens[i] not in ("{", ";"):
        if tokens[i] == "(":
            i = skip(tokens, i, "(", ")")
        elif tokens[i] == "<" and tokens[i - 1] != "operator":
            i = skip_angles(tokens, i)
        elif tokens[i] == "=" and tokens[start] != "using":          # a value: up to the end, whatever braces it holds
            break
        else:
            i += 1
    return i


def public_names(text):
    """The names of one header."""
    found = set(re.findall(r"^#define (SP_\w+)", text, re.M))
    tokens, spaces, i = WORDS.findall(without_comments(text)), [], 0
    while i < len(tokens):
        if tokens[i] == "namespace":
            end = next(k for k in range(i, len(tokens)) if tokens[k] in "{;")
            if tokens[end] == ";":
                i = end + 1                                          # an alias
                continue
            spaces.append([w for w in tokens[i + 1: end] if w != "::"])
            i = end + 1
            continue
        if tokens[i] == "}":
            if spaces:
                spaces.pop()
            i += 1
            continue
        start, i = i, ending(tokens, i)
        name = declared(tokens[start: i + 1])
        path = [word for space in spaces for word in space]
        if name and path[:1] == ["shardproof"] and not PRIVATE & set(path):
            found.add(name)
        if i < len(tokens) and tokens[i] == "=":
            while i < len(tokens) and tokens[i] != ";":
                i = skip(tokens, i, "{", "}") if tokens[i] == "{" else skip(tokens, i, "(", ")") if tokens[i] == "(" else i + 1
        elif i < len(tokens) and tokens[i] == "{":
            i = skip(tokens, i, "{", "}")
            # "= {...};", "struct x {...};", or a function's body
        if i < len(tokens) and tokens[i] == ";":
            i += 1
    return found


def headers():
    """Reachable public headers, in the order of their names."""
    seen = set()
    for entry in ENTRIES:
        path = ROOT / "include/shardproof" / entry
        if path.is_file():
            seen |= {relative(p) for p in closure(path)}
    inside = "include/shardproof/engine/threads/"                        # all of it is namespace in_process
    return sorted(h for h in seen if h.startswith("include/shardproof/") and not h.startswith(inside))


def code_of_pages():
    """All words that stand as code in README.md and docs/, less the pages that are made from sources."""
    words = set()
    for page in set(sources("*.md") + sources("docs/**/*.md")) - {"docs/errors.md", relative(REFERENCE)}:
        text = (ROOT / page).read_text()
        for code in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S) + re.findall(r"`([^`\n]+)`", text):
            words |= set(re.findall(r"[A-Za-z_]\w*", code))
    return words


def first_sentence(comment):
    text = re.sub(r"\s+", " ", comment).strip()
    text = re.split(r" @(?:error|post|param|cost|see)\b", text)[0]
    for end in re.finditer(r"\.(?= [A-Z`@])", text):
        if text.count('"', 0, end.start()) % 2 == 0:
            return text[: end.end()]
    return text.rstrip(" ;:")


def shown(text):
    """As Markdown: what stands outside of backquotes must not be taken for HTML."""
    return "`".join(part if i % 2 else part.replace("<", "\\<") for i, part in enumerate(text.split("`")))


def sentences(text):
    """The doc comment's first sentence, by name, and that of the file (by "")."""
    lines, out = text.splitlines(), {}
    file = re.search(r"/// @file\n((?:///[^\n]*\n)+)", text)
    if file:
        out[""] = first_sentence(file.group(1).replace("///", " ").split("\n  \n")[0].split("     ")[0])
    comment, i = [], 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("///"):
            comment.append(line[3:])
            i += 1
            continue
        if not line.strip() or line[0] in " }/#" and not line.startswith("#define SP_"):
            comment = [] if not line.strip() else comment
            i += 1
            continue
        if line.startswith("#define SP_"):
            out.setdefault(re.findall(r"\w+", line)[1], first_sentence(" ".join(comment)))
            comment, i = [], i + 1
            continue
        last = i
        while last + 1 < len(lines) and not re.search(r"[;{]", lines[last].split("//")[0]):
            last += 1
        tokens = WORDS.findall(without_comments("\n".join(lines[i: last + 1])))
        end = ending(tokens, 0)
        behind = re.search(r"///<(.*)", lines[last])
        name = declared(tokens[: end + 1]) if tokens and tokens[0] != "namespace" else None
        said = first_sentence(" ".join(comment)) or (first_sentence(behind.group(1)) if behind else "")
        if name and said:
            out.setdefault(name, said)
        comment, i = [], last + 1
    return out


def reference():
    """The page, and the names that have no sentence there."""
    rows, folder, silent = [HEAD], None, set()
    for header in headers():
        text = (ROOT / header).read_text()
        names, says = sorted(public_names(text)), sentences(text)
        if not names:
            continue
        short = header.removeprefix("include/shardproof/")
        if short.split("/")[0] != folder:
            folder = short.split("/")[0]
            rows.append(f"\n## {folder}\n")
        rows.append(f"\n**`{short}`** {shown(says.get('', ''))}\n\n")
        told = [n for n in names if says.get(n)]
        rows += [f"* `{n}`: {shown(says[n])}\n" for n in told]
        bare = [n for n in names if n not in told]
        silent |= set(bare)
        if bare:
            rows.append(f"* {', '.join(f'`{n}`' for n in bare)}\n")
    return "".join(rows), silent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    pages, count, problems = code_of_pages(), 0, []
    page, silent = reference()
    for header in headers():
        names = sorted(public_names((ROOT / header).read_text()))
        count += len(names)
        if options.list:
            print(header, *names)
        guided = GUIDED.match(header.removeprefix("include/shardproof/"))
        for n in names:
            if n not in pages and n not in EXCEPTIONS and (guided or n in silent):
                problems.append(f"{header}: {n} stands on no page" + ("." if guided else ", and has no comment."))
    problems += [f"EXCEPTIONS: {n} stands on a page now. Fix: take it out." for n in EXCEPTIONS if n in pages]
    if options.write:
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(page)
    if not REFERENCE.is_file() or REFERENCE.read_text() != page:
        problems.append("docs/reference.md is out of date. Fix: python3 tests/tools/documented.py --write")
    print(*problems, sep="\n", end="\n" if problems else "")
    return closing("documented", count - len(problems), len(problems))


if __name__ == "__main__":
    sys.exit(main())
