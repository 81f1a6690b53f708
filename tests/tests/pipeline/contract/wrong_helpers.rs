//! The vectors catch a helper that breaks a rule of the contract.

use std::path::Path;

use onewrite_tests::template::repository;
use serde_json::Value;

use super::{
    fixtures::directory,
    helpers::{run_node, run_python},
};

/// A rule, a part of the helper that keeps it, and what breaks it.
type Mistake = (&'static str, &'static str, &'static str);

const IN_PYTHON: [Mistake; 20] = [
    (
        "the fingerprint is a condition",
        " AND fingerprint IN (:fingerprint, :fingerprint_text)\"",
        "\"",
    ),
    (
        "a binary fingerprint meets the condition",
        "IN (:fingerprint, :fingerprint_text)",
        "= :fingerprint_text",
    ),
    (
        "a fingerprint that is text meets the condition",
        "IN (:fingerprint, :fingerprint_text)",
        "= :fingerprint",
    ),
    (
        "a binary fingerprint is read",
        "return binary.hex()",
        "return None",
    ),
    (
        "a fingerprint that is text is read",
        "return text if text is not None and FINGERPRINT.fullmatch(text) else None",
        "return None",
    ),
    (
        "the item says who settled it",
        "if self.name:\n            update",
        "if False:\n            update",
    ),
    ("the version is a condition", " AND version = :seen", ""),
    ("the existing item is returned", "\"ALL_OLD\"", "\"NONE\""),
    (
        "another notification is a failure",
        "fingerprint != event[\"fingerprint\"]:",
        "False:",
    ),
    (
        "settled before is a success",
        "return \"AlreadySettled\" if found == status",
        "raise Failed(\"AlreadySettled\")\n    return \"\" if found",
    ),
    (
        "the other final status is a contradiction",
        "found == status else",
        "True else",
    ),
    (
        "the write of the status decides first",
        "if first == \"ConditionalCheckFailed\":",
        "if False:",
    ),
    (
        "states are read consistently",
        "\"ConsistentRead\": True",
        "\"ConsistentRead\": False",
    ),
    (
        "unprocessed keys are read again",
        "if not left:",
        "if True:",
    ),
    (
        "other statuses are ignored",
        "if event[\"status\"] != \"INIT\":\n            return\n",
        "if False:\n            return\n",
    ),
    (
        "a busy receiver ends the batch",
        "if is_stopped:",
        "if False:",
    ),
    (
        "copies are one event",
        "units.setdefault(key,",
        "units.setdefault(position,",
    ),
    (
        "an answer needs a verdict",
        "verdict.get(\"accepted\") is True",
        "verdict.get(\"accepted\")",
    ),
    (
        "numbers are compared by value",
        "min(numbers, key=int)",
        "min(numbers)",
    ),
    (
        "payloads are not logged",
        "type(error).__name__) from None",
        "f\"ValueError {error}\")",
    ),
];

const IN_JAVASCRIPT: [Mistake; 20] = [
    (
        "the fingerprint is a condition",
        " AND fingerprint IN (:fingerprint, :fingerprint_text)\"",
        "\"",
    ),
    (
        "a binary fingerprint meets the condition",
        "IN (:fingerprint, :fingerprint_text)",
        "= :fingerprint_text",
    ),
    (
        "a fingerprint that is text meets the condition",
        "IN (:fingerprint, :fingerprint_text)",
        "= :fingerprint",
    ),
    (
        "a binary fingerprint is read",
        "return Buffer.from(binary).toString(\"hex\")",
        "return undefined",
    ),
    (
        "a fingerprint that is text is read",
        "return text !== undefined && FINGERPRINT.test(text) ? text : undefined",
        "return undefined",
    ),
    (
        "the item says who settled it",
        "if (this.#name) {",
        "if (false) {",
    ),
    ("the version is a condition", " AND version = :seen", ""),
    ("the existing item is returned", "\"ALL_OLD\"", "\"NONE\""),
    (
        "another notification is a failure",
        "found !== event.fingerprint",
        "false",
    ),
    (
        "settled before is a success",
        "return found === status",
        "if (found === status) throw new Failed(\"AlreadySettled\");\n    return found === status",
    ),
    (
        "the other final status is a contradiction",
        "found === status ?",
        "true ?",
    ),
    (
        "the write of the status decides first",
        "if (code(first) === \"ConditionalCheckFailed\")",
        "if (false)",
    ),
    (
        "states are read consistently",
        "ConsistentRead: true",
        "ConsistentRead: false",
    ),
    (
        "unprocessed keys are read again",
        "Object.keys(left).length === 0",
        "true",
    ),
    (
        "other statuses are ignored",
        "if (event.status !== \"INIT\") {\n      return;\n    }",
        "",
    ),
    (
        "a busy receiver ends the batch",
        "if (isStopped)",
        "if (false)",
    ),
    ("copies are one event", "units.get(key) ??", "undefined ??"),
    (
        "an answer needs a verdict",
        "answer.accepted === true",
        "answer.accepted",
    ),
    (
        "numbers are compared by value",
        "BigInt(number) < BigInt(least)",
        "number < least",
    ),
    (
        "payloads are not logged",
        "error?.constructor?.name",
        "`TypeError ${error.message}`",
    ),
];

/// Runs the vectors against each wrong helper, which has the given file name.
fn assert_all_caught(helper: &str, mistakes: &[Mistake], run: impl Fn(&Path) -> Option<Value>) {
    let right = repository("shared/contract").join(helper);
    let name = right.file_name().unwrap().to_owned();
    let right = std::fs::read_to_string(right).unwrap();
    for (rule, part, wrong) in mistakes {
        assert!(right.contains(part), "{rule}: {part}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(&name);
        std::fs::write(&file, right.replace(part, wrong)).unwrap();
        let Some(printed) = run(&file) else { return };
        let differences = printed["differences"].as_array().unwrap();
        assert!(
            !differences.is_empty(),
            "{helper}: nothing shows that {rule}"
        );
        assert!(printed["met"].as_u64() > Some(0), "{rule}: {printed}");
    }
}

#[test]
fn the_vectors_catch_wrong_python_helpers() {
    assert_all_caught("python/onewrite.py", &IN_PYTHON, |file| {
        let helper = file.parent().unwrap();
        Some(run_python(
            "run_vectors.py",
            &[helper, &directory()],
            &Value::Null,
        ))
    });
}

#[test]
fn the_vectors_catch_wrong_javascript_helpers() {
    assert_all_caught("javascript/onewrite.mjs", &IN_JAVASCRIPT, |file| {
        run_node("run_vectors.mjs", &[file, &directory()], &Value::Null)
    });
}
