#!/usr/bin/env bash
# pydantic 2.14.4: a KeyboardInterrupt in a serializer comes out as an Exception; in a validator it stays what it is.
#
# Behaviour: what Python code called by `model_dump` or `model_dump_json` raises, BaseException included, becomes a
# PydanticSerializationError (of model_dump_json without a __cause__). A signal's handler may raise there: Ctrl-C is then caught by `except
# Exception`, and Prefect 3.9.1, which has SIGTERM raise TerminationSignal, takes a flow that is told to end for one
# that failed, and shows a traceback.
# Expected: KeyboardInterrupt, SystemExit and what else is no Exception pass, as they do through validators.
# Seen:
#   pydantic 2.14.4
#   validator: KeyboardInterrupt
#   model_dump: PydanticSerializationError, an Exception: True, its cause: KeyboardInterrupt
#   model_dump_json: PydanticSerializationError, an Exception: True, its cause: NoneType
# Way round: the handler notes that the signal has come, and whoever gets any exception asks for that note.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq pydantic==2.14.4
cat > "$work/interrupted.py" <<'PY'
import signal
import sys

import pydantic


def interrupt(value: int) -> int:
    """What any code may meet: a signal comes while it runs."""
    signal.raise_signal(signal.SIGINT)
    return value


class Frame(pydantic.BaseModel):
    number: int

    @pydantic.field_serializer("number")
    def _shown(self, value: int) -> int:
        return interrupt(value)


class Checked(pydantic.BaseModel):
    number: int

    @pydantic.field_validator("number")
    @classmethod
    def _known(cls, value: int) -> int:
        return interrupt(value)


def raised(action) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    sys.exit("changed: nothing was raised")


print(f"pydantic {pydantic.VERSION}")
print(f"validator: {type(raised(lambda: Checked(number=1))).__name__}")
for name in ("model_dump", "model_dump_json"):
    error = raised(getattr(Frame(number=1), name))
    print(f"{name}: {type(error).__name__}, an Exception: {isinstance(error, Exception)}, its cause: {type(error.__cause__).__name__}")
    if not isinstance(error, Exception):
        sys.exit("changed: the interrupt passes a serializer")
PY
python "$work/interrupted.py"
