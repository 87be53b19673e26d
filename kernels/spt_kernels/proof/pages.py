"""Tables in Markdown files that commands renew in place."""

from pathlib import Path


def replace_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the page lacks a marker.
    """
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        raise ValueError(f"`{page}` lacks the lines `{first}` and `{last}`; add them where the table belongs")
    page.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")
