# Follows the code of an example, whose handler is renamed to `answer`, and precedes the definition of `MARKERS`.

import uuid


def crash_once(prefix, subject):
    if subject.startswith(prefix):
        try:
            open(os.path.join(MARKERS, subject), "x").close()
        except FileExistsError:
            return
        os._exit(1)


def handler(event, context):
    crash_once("before-", event["subject"])
    verdict = answer(event, context)
    crash_once("after-", event["subject"])
    for write in verdict.get("writes", []):
        write["Put"]["Item"]["entry_id"]["S"] += "#" + str(uuid.uuid4())
    return verdict
