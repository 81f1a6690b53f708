//! What the status of a response means.

use std::time::Duration;

use aws_smithy_types::{DateTime, date_time::Format};
use jiff::Timestamp;
use onewrite::notification::Refusal;

use super::connection::Response;
use crate::targets::settings::RefusalStatuses;

/// The decision of an endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused(Refusal),
    /// The endpoint is overloaded.
    Busy {
        retry_after: Option<Duration>,
    },
    /// The endpoint does not accept the signature or the sender: a fault that another secret may end.
    Denied,
    /// Anything else: a redirect, a wrong path, a broken receiver.
    Fault,
}

/// Only statuses that say something about the notification itself refuse it.
pub(super) fn verdict(
    response: &Response,
    refusal_statuses: &RefusalStatuses,
    now: Timestamp,
) -> Verdict {
    match response.status {
        200..=299 => Verdict::Accepted,
        status if refusal_statuses.contains(status) => refusal(response),
        // RFC 9110, section 15.6.4, and RFC 6585, section 4.
        429 | 503 => Verdict::Busy {
            retry_after: response
                .retry_after
                .as_deref()
                .and_then(|text| retry_after(text, now)),
        },
        401 | 403 => Verdict::Denied,
        _ => Verdict::Fault,
    }
}

/// The code in the header `onewrite-refusal`, or else the status.
fn refusal(response: &Response) -> Verdict {
    let given = response
        .refusal
        .as_deref()
        .and_then(|text| text.parse().ok());
    let code = given.or_else(|| format!("http_{}", response.status).parse().ok());
    code.map_or(Verdict::Fault, Verdict::Refused)
}

/// A number of seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::from_str(text, Format::HttpDate).ok()?;
    let seconds = date.secs().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
