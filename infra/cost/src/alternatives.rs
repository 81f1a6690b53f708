//! What parts of AWS would cost in place of parts of the pipeline, for the same messages.

use serde::Serialize;

use crate::{
    billing::{self, GB, write_units},
    prices::Prices,
    traffic::{Assumptions, CHANGES, Traffic},
};

/// Bytes of one request of EventBridge Pipes (EventBridge pricing: each 64 KB of payload is a request).
const PIPES_REQUEST_BYTES: f64 = 64.0 * 1_024.0;

/// What an account pays at least for on-demand advantage, written and read, in bytes a second (Kinesis developer guide,
/// "How do I size a stream").
const ADVANTAGE_BYTES_PER_SECOND: f64 = 25.0 * 1_024.0 * 1_024.0;

/// An alternative, with its lowest and highest cost in US dollars.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    pub what: &'static str,
    pub lowest_usd: f64,
    pub highest_usd: f64,
}

/// The alternatives for this traffic.
#[must_use]
pub fn alternatives(
    traffic: &Traffic,
    assumptions: &Assumptions,
    prices: &Prices,
) -> Vec<Alternative> {
    let changes = CHANGES as f64 * traffic.messages as f64;
    let record_bytes = traffic.record_bytes as f64;
    let alternative = |what, lowest_usd, highest_usd| Alternative {
        what,
        lowest_usd,
        highest_usd,
    };
    let fixed = |what, usd| alternative(what, usd, usd);

    let per_request = (PIPES_REQUEST_BYTES / record_bytes).floor().max(1.0);
    let requests = (record_bytes / PIPES_REQUEST_BYTES).ceil();
    let pipes = |requests: f64| prices.pipes_requests.usd_for(requests);

    // A change of an item costs as many units as the larger of its images has KB.
    let units = write_units(traffic.item_bytes as f64) + write_units(traffic.settled_bytes as f64);
    let capture = prices
        .dynamodb_change_units
        .usd_for(traffic.messages as f64 * units);

    let stream = billing::on_demand_gb(changes, record_bytes);
    let least = ADVANTAGE_BYTES_PER_SECOND * assumptions.hours as f64 * 3_600.0 / GB;
    let advantage = prices
        .kinesis_advantage_gb_in
        .usd_for(stream.written.max(least))
        + prices
            .kinesis_advantage_gb_out
            .usd_for(stream.read.max(least));
    vec![
        alternative(
            "EventBridge Pipes for forward, full batches to single changes",
            pipes(changes / per_request),
            pipes(changes * requests),
        ),
        fixed(
            "DynamoDB to Kinesis for forward: no order, may duplicate",
            capture,
        ),
        fixed(
            "Kinesis on-demand advantage, of an account with nothing else",
            advantage,
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::traffic::sample::{assumptions, traffic};

    #[test]
    fn a_million_messages_cost_what_a_calculation_by_hand_says() {
        let prices = Prices::built_in().unwrap();
        let found = alternatives(&traffic(), &assumptions(), &prices);
        let usd: Vec<_> = found
            .iter()
            .map(|one| (one.lowest_usd, one.highest_usd))
            .collect();
        // 2,000,000 changes of 1,400 bytes: 46 in a request, or one. Four units for each message. 64,160.16 GB in and out.
        let expected = [(0.8 / 46.0, 0.8), (0.4, 0.4), (3_079.687_5, 3_079.687_5)];
        for (actual, expected) in usd.iter().zip(expected) {
            assert!((actual.0 - expected.0).abs() < 1e-6, "{actual:?}");
            assert!((actual.1 - expected.1).abs() < 1e-6, "{actual:?}");
        }
        assert_eq!(usd.len(), expected.len());
    }
}
