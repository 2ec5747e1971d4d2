#!/usr/bin/env python3
"""A preprocessor of mdBook: links out of the book, which lead nowhere there, become the path in the repository. A page that is included from
the root of the repository has its links from there."""

import json
import re
import sys

LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]+)\)")


def path(target):
    return re.sub(r"^(\.\./)+", "", target)


def mend(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            content = chapter["content"]
            if chapter["path"] == "architecture.md":
                content = re.sub(r"\]\((?!docs/|https?:|#)", "](../", content).replace("](docs/", "](")
            chapter["content"] = LINK.sub(lambda match: f"{match[1]} (`{path(match[2])}`)", content)
            mend(chapter["sub_items"])


if len(sys.argv) > 1 and sys.argv[1] == "supports":
    sys.exit(0)
_context, book = json.load(sys.stdin)
mend(book.get("items", book.get("sections", [])))
json.dump(book, sys.stdout)
