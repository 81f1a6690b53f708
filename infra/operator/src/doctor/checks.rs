//! All checks, as tables: one file for each kind of resource.

mod bucket;
mod deferral;
mod downstream;
mod filters;
mod functions;
mod keys;
mod mappings;
mod queues;
mod stream;
mod table;
mod unread;

use super::{
    check::{COMPLETE, FORWARD, INGEST, Scope},
    finding::Finding,
    fixes::UNDO,
    snapshot::StackSnapshot,
};

/// Runs every check; the most severe findings come first.
#[must_use]
pub fn examine(stack: &StackSnapshot) -> Vec<Finding> {
    let scope = |place| Scope { stack, place };
    let mut findings = unread::findings(stack);
    findings.extend(queues::findings(stack));
    findings.extend(mappings::of_ingest(scope(INGEST), &stack.ingest));
    findings.extend(functions::of_ingest(scope(INGEST)));
    findings.extend(table::findings(stack));
    findings.extend(mappings::of_forward(scope(FORWARD), &stack.forward));
    findings.extend(functions::of_forward(scope(FORWARD)));
    findings.extend(stream::findings(stack));
    findings.extend(mappings::of_complete(scope(COMPLETE), &stack.complete));
    findings.extend(functions::of_complete(scope(COMPLETE)));
    findings.extend(downstream::findings(stack));
    findings.extend(bucket::findings(stack));
    findings.extend(keys::findings(stack));
    if stack.is_local {
        findings = for_local_stack(findings);
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Adapts the findings for an emulator: a fix must not deploy to the account of the user's credentials.
fn for_local_stack(findings: Vec<Finding>) -> Vec<Finding> {
    let adapt = |finding: Finding| Finding {
        repair: if finding.repair.starts_with(UNDO) {
            "start a new stack with `cargo local up`".to_owned()
        } else {
            finding
                .repair
                .replace(
                    "sam deploy --parameter-overrides",
                    "cargo local up --parameter",
                )
                .replace("sam deploy", "cargo local up")
        },
        ..finding
    };
    findings.into_iter().map(adapt).collect()
}
