"""The emulator, with what it leaves out of DynamoDB put right: an INSERT of PartiQL is in the table's stream."""

import sys

from ministack.app import main
from ministack.services import dynamodb

_insert = dynamodb._partiql_insert


def _insert_and_tell(table, parsed):
    answer = _insert(table, parsed)
    if answer[0] == 200:
        item = parsed["item"]
        item = item["M"] if set(item) == {"M"} else item
        dynamodb._emit_stream_event(parsed["table"], "INSERT", None, item)
    return answer


dynamodb._partiql_insert = _insert_and_tell
sys.exit(main())
