"""Runs the SQL of examples/archive/README.md, or one statement after its view, and prints rows as COPY does."""
import re
import sys

import duckdb


def tell(value):
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


database = duckdb.connect()
with open(sys.argv[1], encoding="utf-8") as readme:
    view, *questions = re.findall(r"```duckdb\n(.*?)```", readme.read(), re.S)
database.execute(view)
if sys.argv[2] == "questions":
    for question in questions:
        print(len(database.execute(question).fetchall()))
else:
    for row in database.execute(sys.argv[2]).fetchall():
        print("\t".join(map(tell, row)))
