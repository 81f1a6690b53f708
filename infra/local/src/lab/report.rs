//! The page of a demo: one static file that can be mailed. It has no script, and makes no request.
//!
//! It names ids and counts, never a payload. All text is escaped.

mod comparison;
mod escape;
mod guarantees;
mod sections;

use onewrite_console::sentence::grouped;

pub(crate) use comparison::{Comparison, Run};
use escape::escape;

use crate::oracle::Report;

/// The look of the page, without any file beside it.
const STYLE: &str = include_str!("report/style.css");

/// Renders the page.
#[must_use]
pub(crate) fn html(run: &Run, report: &Report, comparison: &Comparison) -> String {
    let ids = grouped(comparison.ids);
    let sent = grouped(report.counts.sent as u64);
    let sentence = escape(&comparison.sentence());
    let sections = [
        sections::comparison(comparison),
        sections::casualties(comparison),
        sections::faults(comparison),
        guarantees::section(report),
        sections::counts(report),
        sections::fairness(comparison),
        sections::run(run),
    ]
    .concat();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>onewrite: the same messages and faults through two designs</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
<p class="brand">onewrite</p>
<h1>{sent} messages, {ids} notifications, and the same faults through two designs</h1>
<p class="lead">{sentence}</p>
</header>
{sections}</main>
</body>
</html>
"#
    )
}

#[cfg(test)]
mod tests;
