"""Put the tables of a finished board between the markers of its page in the docs.

python benchmarks/board_docs.py boards/toy-v1 docs/benchmarks/toy-v1.md
"""

import json
import re
import sys
from pathlib import Path

from simreal.report.leaderboard import board_to_markdown

START, END = "<!-- board:start -->", "<!-- board:end -->"


def main() -> None:
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    board = json.loads((folder / "board.json").read_text(encoding="utf-8"))
    lines = board_to_markdown(board).splitlines()
    # Title and description stand on the page already; its headings are one level deeper.
    body = [f"#{line}" if line.startswith("## ") else line for line in lines[4:]]
    text = page.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not found.search(text):
        sys.exit(f"board_docs: no {START} ... {END} in {page}")
    filled = f"{START}\n\n" + "\n".join(body).strip() + f"\n\n{END}"
    page.write_text(found.sub(lambda _: filled, text), encoding="utf-8")


if __name__ == "__main__":
    main()
