"""Tables in Markdown files that commands renew in place."""

from pathlib import Path


def require_between(page: Path, name: str) -> tuple[str, str]:
    """What stands before `<!-- name -->` and behind `<!-- /name -->`, with these lines.

    Raises:
        ValueError: the page lacks one, which is better said before the table is made.
        OSError: there is no such page.
    """
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        raise ValueError(f"`{page}` lacks the lines `{first}` and `{last}`; add them where the table belongs")
    return before + first, last + after


def replace_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`; errors as `require_between`."""
    before, after = require_between(page, name)
    page.write_text(f"{before}\n{text}\n{after}", encoding="utf-8")
