//! Compares the log of a replay with the recording, field by field.

use std::collections::BTreeMap;
use std::fmt::Debug;

use onewrite_event_sources::Millis;
use serde_json::{Map, Value};

use crate::bindings::Bindings;
use crate::case::{Case, Expect, ExpectedFailureRecord, ExpectedInvocation, ExpectedRecord};
use crate::log::{Invocation, Log, MAPPING_UUID, SentFailureRecord};

/// Returns the first difference as an error.
pub(crate) fn compare(case: &Case, log: &Log) -> Result<(), String> {
    let Expect {
        // Compared by the function of this name.
        invocations: _,
        invocation_count: _,
        records,
        records_common,
        delivery_counts,
        delivered,
        not_delivered,
        dead_letter_queue,
        left_in_queue,
        failure_notices,
        concurrent_function_instances,
        mapping_states,
        // For rejected requests, which are not replayed.
        error: _,
    } = &case.expect;
    let mut bindings = Bindings::default();
    for (expected, actual) in &log.replies {
        bindings.compare("reply", expected, actual)?;
    }
    invocations(&mut bindings, &case.expect, log)?;
    if let Some(expected) = records {
        let all: Vec<&(String, Value)> = log.records().collect();
        let common = records_common.clone().unwrap_or_default();
        match_records(&mut bindings, "records", expected, &common, &all)?;
    }
    equal(
        "delivery_counts",
        delivery_counts.as_ref(),
        &log.delivery_counts(),
    )?;
    let (seen, unseen): (Vec<&str>, Vec<&str>) = case
        .inputs()
        .partition(|input| log.records().any(|(i, _)| i == input));
    equal("delivered", delivered.as_ref(), &seen)?;
    equal("not_delivered", not_delivered.as_ref(), &unseen)?;
    if let Some(expected) = dead_letter_queue {
        dead_letters(&mut bindings, expected, log)?;
    }
    equal("left_in_queue", left_in_queue.as_ref(), &log.left_in_queue)?;
    failure_records(
        &mut bindings,
        failure_notices.as_deref().unwrap_or_default(),
        log,
    )?;
    equal(
        "concurrent_function_instances",
        concurrent_function_instances.as_ref(),
        &log.most_concurrent,
    )?;
    states(mapping_states.as_deref().unwrap_or_default(), log)?;
    case.checked
        .iter()
        .try_for_each(|sentence| checked(sentence, case, log))
}

fn invocations(bindings: &mut Bindings, expect: &Expect, log: &Log) -> Result<(), String> {
    equal(
        "invocation_count",
        expect.invocation_count.as_ref(),
        &log.invocations.len(),
    )?;
    if let Some(expected) = &expect.invocations {
        equal(
            "number of invocations",
            Some(&expected.len()),
            &log.invocations.len(),
        )?;
        for (n, (expected, actual)) in expected.iter().zip(&log.invocations).enumerate() {
            invocation(bindings, &format!("invocations[{n}]"), expected, actual)?;
        }
    }
    Ok(())
}

fn equal<E: PartialEq<A> + Debug, A: Debug>(
    what: &str,
    expected: Option<&E>,
    actual: &A,
) -> Result<(), String> {
    match expected {
        Some(expected) if expected != actual => {
            Err(format!("{what} is {actual:?}, recorded {expected:?}"))
        }
        _ => Ok(()),
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn invocation(
    bindings: &mut Bindings,
    at: &str,
    expected: &ExpectedInvocation,
    actual: &Invocation,
) -> Result<(), String> {
    let records: Vec<&(String, Value)> = actual.records.iter().collect();
    match_records(bindings, at, &expected.records, &Map::new(), &records)?;
    equal(
        &format!("{at}.outcome"),
        Some(&expected.outcome.as_str()),
        &actual.outcome,
    )?;
    if let Some(expected) = &expected.response {
        let actual = actual
            .response
            .as_ref()
            .ok_or_else(|| format!("{at} has no response"))?;
        bindings.compare(&format!("{at}.response"), expected, actual)?;
    }
    if expected.function_version.is_some() {
        equal(
            &format!("{at}.function_version"),
            Some(&expected.function_version),
            &actual.function_version,
        )?;
        equal(
            &format!("{at}.function_setting"),
            Some(&expected.function_setting),
            &actual.function_setting,
        )?;
    }
    Ok(())
}

/// Pairs records by input. Their order is arbitrary, and so is that of several deliveries of one input.
fn match_records(
    bindings: &mut Bindings,
    at: &str,
    expected: &[ExpectedRecord],
    common: &Map<String, Value>,
    actual: &[&(String, Value)],
) -> Result<(), String> {
    let mut unmatched: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (input, record) in actual.iter().rev() {
        unmatched.entry(input).or_default().push(record);
    }
    for ExpectedRecord { input, fields } in expected {
        let at = format!("{at} {input}");
        let record = unmatched.get_mut(input.as_str()).and_then(Vec::pop);
        let record = record.ok_or_else(|| format!("{at} was not delivered"))?;
        let whole: Map<String, Value> = common.clone().into_iter().chain(fields.clone()).collect();
        bindings.compare(&at, &Value::Object(whole), record)?;
    }
    let extra: Vec<&str> = unmatched
        .iter()
        .filter(|(_, left)| !left.is_empty())
        .map(|(input, _)| *input)
        .collect();
    require(extra.is_empty(), || {
        format!("{at}: {extra:?} were delivered more often than recorded")
    })
}

fn dead_letters(
    bindings: &mut Bindings,
    expected: &[Map<String, Value>],
    log: &Log,
) -> Result<(), String> {
    equal(
        "number of dead letters",
        Some(&expected.len()),
        &log.dead_letters.len(),
    )?;
    for expected in expected {
        let mut expected = expected.clone();
        let input = expected.remove("input").unwrap_or_default();
        let found = log
            .dead_letters
            .iter()
            .find(|letter| input == letter.input.as_str());
        let found = found.ok_or_else(|| format!("{input} is not in the dead-letter queue"))?;
        bindings.compare(
            &format!("dead_letter_queue {input}"),
            &Value::Object(expected),
            &found.message,
        )?;
    }
    Ok(())
}

fn failure_records(
    bindings: &mut Bindings,
    expected: &[ExpectedFailureRecord],
    log: &Log,
) -> Result<(), String> {
    equal(
        "number of failure records",
        Some(&expected.len()),
        &log.failure_records.len(),
    )?;
    for (n, (expected, actual)) in expected.iter().zip(&log.failure_records).enumerate() {
        let at = format!("failure_notices[{n}]");
        equal(
            &format!("{at}.destination"),
            Some(&expected.destination.as_str()),
            &actual.destination,
        )?;
        let mut body = actual.body.clone();
        // The recording contains the parsed payload; AWS and the model write it as a string.
        if let Some(payload) = body.get_mut("payload") {
            let text = payload
                .as_str()
                .ok_or_else(|| format!("{at}.payload is no text"))?;
            *payload = serde_json::from_str(text).map_err(|e| format!("{at}.payload: {e}"))?;
        }
        bindings.compare(&at, &expected.body, &body)?;
        covers(&at, expected, actual, log)?;
        if let Some(prefix) = &expected.object_key_prefix {
            object_key(&at, prefix, actual)?;
        }
    }
    Ok(())
}

/// The batch of a failure record (D21, K8).
fn batch_info(actual: &SentFailureRecord) -> &Value {
    let body = &actual.body;
    body.get("KinesisBatchInfo")
        .unwrap_or(&body["DDBStreamBatchInfo"])
}

/// A failure record identifies its batch by the first and last sequence number and the size.
fn covers(
    at: &str,
    expected: &ExpectedFailureRecord,
    actual: &SentFailureRecord,
    log: &Log,
) -> Result<(), String> {
    let info = batch_info(actual);
    let covered = |key: &str| log.inputs.get(info[key].as_str().unwrap_or_default());
    let same = covered("startSequenceNumber") == expected.covers.first()
        && covered("endSequenceNumber") == expected.covers.last()
        && info["batchSize"] == expected.covers.len();
    require(same, || {
        format!("{at} covers another batch than {:?}", expected.covers)
    })
}

/// The README says that parts in angle brackets are arbitrary. Date and time are those of the failure record (`checked`).
fn object_key(at: &str, prefix: &str, actual: &SentFailureRecord) -> Result<(), String> {
    let key = actual.object_key.as_deref().unwrap_or_default();
    let shard = batch_info(actual)["shardId"].as_str().unwrap_or_default();
    let timestamp = actual.body["timestamp"].as_str().unwrap_or_default();
    let second = timestamp.get(..19).unwrap_or_default().replace(':', ".");
    let mut expected = prefix
        .replace("<mapping-uuid>", MAPPING_UUID)
        .replace("<shardId>", shard);
    for (placeholder, range) in [("<YYYY>", 0..4), ("<MM>", 5..7), ("<DD>", 8..10)] {
        expected = expected.replace(placeholder, timestamp.get(range).unwrap_or_default());
    }
    expected = expected.replace("<YYYY-MM-DDTHH.MM.SS>", &second);
    require(
        !expected.contains('<') && key.starts_with(&expected),
        || format!("{at}: the key is {key:?}, recorded {prefix:?}"),
    )
}

fn states(expected: &[Map<String, Value>], log: &Log) -> Result<(), String> {
    for expected in expected {
        let after = expected.get("after").ok_or("a state after no step")?;
        let actual = log.states.iter().find(|state| state["after"] == *after);
        let actual = actual.ok_or_else(|| format!("no state was noted after {after}"))?;
        for (key, value) in expected {
            let actual_state = &actual[key];
            require(actual_state == value, || {
                format!("{key} after {after} is {actual_state}, recorded {value}")
            })?;
        }
    }
    Ok(())
}

/// Checks statements of the recording that are not in `expect`. An unknown statement is an error.
fn checked(sentence: &str, case: &Case, log: &Log) -> Result<(), String> {
    let says = |words: &str| sentence.contains(words);
    if says("(the visibility timeout) passed") {
        retries_wait(case, log)
    } else if says("dead-letter queue was empty") {
        require(!log.dead_letters_before_the_last_invocation, || {
            "a dead letter came early".to_owned()
        })
    } else if says("added up to exactly") {
        let total = log.records().count();
        require(says(&format!("exactly {total}.")), || {
            format!("{total} records were delivered; {sentence}")
        })
    } else if says("ApproximateCreationDateTime is a") {
        let seconds = |(_, record): &(String, Value)| {
            seconds_since_1970(&record["dynamodb"]["ApproximateCreationDateTime"])
        };
        require(log.records().all(seconds), || sentence.to_owned())
    } else if says("approximateArrivalTimestamp is seconds") {
        let seconds = |(_, record): &(String, Value)| {
            seconds_since_1970(&record["kinesis"]["approximateArrivalTimestamp"])
        };
        require(log.records().all(seconds), || sentence.to_owned())
    } else if says("began more than 5 s after the first") {
        require(shortest_gap(log) > 5_000, || sentence.to_owned())
    } else {
        const COVERED: [(&str, &str); 9] = [
            ("no third invocation", "invocation_count"),
            (
                "on the dead-letter queue after the invocation returned nothing",
                "dead_letter_queue",
            ),
            ("exactly one log stream", "concurrent_function_instances"),
            ("on the source queue", "left_in_queue"),
            (
                "Exactly one invocation with exactly one record",
                "invocations",
            ),
            ("held exactly", "invocation_count, failure_notices"),
            ("Its key starts with object_key_prefix", "failure_notices"),
            ("read about 3 s after the second put", "invocation_count"),
            (
                "The mapping kept its UUID",
                "the API, which is not modelled",
            ),
        ];
        require(COVERED.iter().any(|(words, _)| says(words)), || {
            format!("unknown check: {sentence}")
        })
    }
}

/// Returns whether a time is in seconds since 1970 with ten digits before the point, and has a point or an exponent.
fn seconds_since_1970(time: &Value) -> bool {
    time.is_f64()
        && time
            .as_f64()
            .is_some_and(|seconds| (1e9..1e10).contains(&seconds))
}

/// The shortest time between two starts of the function.
fn shortest_gap(log: &Log) -> Millis {
    let gaps = log
        .invocations
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at);
    gaps.min().unwrap_or_default()
}

fn retries_wait(case: &Case, log: &Log) -> Result<(), String> {
    let visibility = case
        .queue
        .as_ref()
        .and_then(|queue| queue.visibility_timeout)
        .unwrap_or(30);
    let shortest = shortest_gap(log);
    require(shortest >= u64::from(visibility) * 1_000, || {
        format!("a retry came after {shortest} ms")
    })
}
