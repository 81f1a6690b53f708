//! The fixed cost: what a stack costs without any message.

use serde::Serialize;

use crate::{
    billing::{self, LineItem, StreamCapacity},
    prices::Prices,
};

/// Hours of a month.
pub const MONTH_HOURS: u64 = 730;

/// The polls with which Lambda waits for messages: five at a time, each for up to 20 seconds (Lambda developer guide, "Configuring
/// scaling behavior for SQS event source mappings", and SQS developer guide, "Amazon SQS short and long polling").
const IDLE_POLLS_PER_HOUR: u64 = 5 * 60 * 60 / 20;

/// Which metrics a stack has: the template's `Metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metrics {
    Essential,
    All,
}

/// What a stack with a downstream has of CloudWatch. A test counts it in the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inventory {
    /// Metrics that the functions emit in an hour in which nothing fails. A metric is billed for the hours in which it is
    /// emitted (CloudWatch pricing).
    pub custom_metrics: u64,
    /// Metrics that Lambda emits for the event source mappings.
    pub mapping_metrics: u64,
    /// Metrics that alarms watch.
    pub alarm_metrics: u64,
    pub dashboards: u64,
}

impl Metrics {
    #[must_use]
    pub fn inventory(self) -> Inventory {
        let essential = Inventory {
            custom_metrics: 2,
            mapping_metrics: 0,
            alarm_metrics: 27,
            dashboards: 0,
        };
        match self {
            Self::Essential => essential,
            Self::All => Inventory {
                custom_metrics: 34,
                mapping_metrics: 17,
                dashboards: 1,
                ..essential
            },
        }
    }

    /// Bytes of logs of an average invocation: one line of metrics, which `forward` has with all metrics only.
    #[must_use]
    pub fn log_bytes(self) -> u64 {
        match self {
            Self::Essential => 250,
            Self::All => 1_100,
        }
    }

    /// Invocations of a function that X-Ray records: the first of each second and five percent of the others, if Lambda starts
    /// traces itself (Lambda developer guide, "Visualize Lambda function invocations using AWS X-Ray").
    #[must_use]
    pub fn traces(self, invocations: f64, seconds: f64) -> f64 {
        match self {
            Self::Essential => 0.0,
            Self::All => {
                let first = invocations.min(seconds);
                first + 0.05 * (invocations - first)
            }
        }
    }
}

/// What determines the fixed cost.
#[derive(Debug, Clone, Copy)]
pub struct FixedUsage {
    pub inventory: Inventory,
    pub stream: StreamCapacity,
    /// Provisioned pollers of the queue. 0: Lambda's own.
    pub pollers: u64,
    pub hours: u64,
}

/// The line items of the fixed cost.
#[must_use]
pub fn fixed(prices: &Prices, usage: FixedUsage) -> Vec<LineItem> {
    let hours = usage.hours as f64;
    let months = hours / MONTH_HOURS as f64;
    let polling = match usage.pollers {
        0 => LineItem::new(
            "SQS",
            "polls of an empty queue",
            IDLE_POLLS_PER_HOUR as f64 * hours,
            &prices.sqs_standard_requests,
        ),
        pollers => LineItem::new(
            "Lambda",
            "poller-hours",
            pollers as f64 * hours,
            &prices.lambda_poller_hours,
        ),
    };
    let watched =
        |what, count: u64, price| LineItem::new("CloudWatch", what, count as f64 * months, price);
    let inventory = usage.inventory;
    vec![
        billing::stream_hours(prices, usage.stream),
        polling,
        watched(
            "metrics of the functions",
            inventory.custom_metrics,
            &prices.metrics,
        ),
        watched(
            "metrics of the mappings",
            inventory.mapping_metrics,
            &prices.metrics,
        ),
        watched(
            "metrics that alarms watch",
            inventory.alarm_metrics,
            &prices.alarms,
        ),
        watched("dashboards", inventory.dashboards, &prices.dashboards),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::billing::total;

    fn month(metrics: Metrics, stream: StreamCapacity) -> f64 {
        let usage = FixedUsage {
            inventory: metrics.inventory(),
            stream,
            pollers: 0,
            hours: MONTH_HOURS,
        };
        total(&fixed(&Prices::built_in().unwrap(), usage))
    }

    #[test]
    fn a_month_costs_what_a_calculation_by_hand_says() {
        let hours = MONTH_HOURS as f64;
        let shard = StreamCapacity::Provisioned { shard_hours: hours };
        let on_demand = StreamCapacity::OnDemand { hours };
        // A shard 10.95, polls 0.2628, alarms 2.70, two metrics 0.60.
        let usd = month(Metrics::Essential, shard);
        assert!((usd - 14.5128).abs() < 1e-9, "{usd}");
        // A stream 29.20, polls 0.2628, alarms 2.70, 34 and 17 metrics 15.30, a dashboard 3.00.
        let usd = month(Metrics::All, on_demand);
        assert!((usd - 50.4628).abs() < 1e-9, "{usd}");
    }

    #[test]
    fn provisioned_pollers_replace_polls() {
        let usage = FixedUsage {
            inventory: Metrics::Essential.inventory(),
            stream: StreamCapacity::OnDemand { hours: 10.0 },
            pollers: 3,
            hours: 10,
        };
        let items = fixed(&Prices::built_in().unwrap(), usage);
        let pollers = items.iter().find(|item| item.what == "poller-hours");
        assert_eq!(pollers.unwrap().quantity, 30.0);
        assert!(items.iter().all(|item| item.service != "SQS"));
    }

    #[test]
    fn lambda_traces_the_first_invocation_of_a_second_and_some_others() {
        assert_eq!(Metrics::Essential.traces(100.0, 10.0), 0.0);
        assert_eq!(Metrics::All.traces(5.0, 10.0), 5.0);
        assert_eq!(Metrics::All.traces(110.0, 10.0), 15.0);
    }
}
