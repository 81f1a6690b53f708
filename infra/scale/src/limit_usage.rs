//! How close each limit was.

use serde::Serialize;

macro_rules! limits {
    ($($name:ident: $description:literal, $remedy:literal;)*) => {
        /// The limits in the order of the message flow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Limit {
            $(#[doc = $description] $name,)*
        }

        impl Limit {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => $description,)* }
            }

            /// How to raise the limit.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

limits! {
    PollersNow: "pollers that are still scaling up", "IngestConcurrency (minimum of the pollers)";
    IngestConcurrency: "maximum concurrency of the queue's mapping", "IngestConcurrency, or provisioned pollers";
    PollerThroughput: "throughput of the maximum number of pollers", "IngestConcurrency (maximum of the pollers), or more stacks";
    InFlight: "messages of the queue in flight", "a shorter window, or more stacks";
    FunctionGrowth: "growth of a function", "none: 1,000 environments in 10 s";
    AccountConcurrency: "concurrency of the account", "Lambda quota, or larger batches";
    TableGrowth: "current write capacity of the table", "warm throughput of the table";
    TableQuota: "write quota of the table", "DynamoDB quota, or more stacks";
    HotPartition: "write units of the partition of the hottest id", "none: fewer copies of one id";
    ForwardLanes: "forward: stream shards x ParallelizationFactor", "StreamParallelizationFactor";
    TableStreamRead: "reads of the table's stream", "none: the table's partitions";
    HotOrder: "forward: one event of an id per call", "none: order per id";
    StreamWrite: "writes to the notification stream", "ShardCount, or time in on-demand mode";
    StreamRead: "reads of the notification stream", "ShardCount";
    CompleteLanes: "complete: shards x ParallelizationFactor", "StreamParallelizationFactor, DownstreamMaxConcurrency";
}

/// The usage of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimitUsage {
    pub limit: Limit,
    /// The highest demand: 1 is the limit itself. It is capped at [`MAXIMUM_USAGE`].
    pub most: f64,
    /// When the demand first exceeded the limit, in seconds.
    pub first: Option<f64>,
    /// For how many seconds the demand exceeded the limit.
    pub seconds: f64,
}

/// Cap of [`LimitUsage::most`], so that it stays finite for a limit with nothing left.
pub const MAXIMUM_USAGE: f64 = 1_000.0;

/// The usage of every limit so far.
#[derive(Debug, Clone)]
pub struct LimitTracker {
    all: Vec<LimitUsage>,
}

impl Default for LimitTracker {
    fn default() -> Self {
        let unused = |limit: &Limit| LimitUsage {
            limit: *limit,
            most: 0.0,
            first: None,
            seconds: 0.0,
        };
        Self {
            all: Limit::ALL.iter().map(unused).collect(),
        }
    }
}

impl LimitTracker {
    /// Records a demand of `wanted` for a limit with `available` left, and returns the amount that can be used.
    pub fn grant(
        &mut self,
        limit: Limit,
        wanted: f64,
        available: f64,
        (now, step): (f64, f64),
    ) -> f64 {
        let share = match wanted {
            wanted if wanted <= 0.0 => 0.0,
            _ => (wanted / available.max(0.0)).min(MAXIMUM_USAGE),
        };
        if let Some(usage) = self.all.iter_mut().find(|usage| usage.limit == limit) {
            usage.most = usage.most.max(share);
            if share > 1.0 + 1e-9 {
                usage.first.get_or_insert(now);
                usage.seconds += step;
            }
        }
        wanted.min(available).max(0.0)
    }

    /// All limits in the order of the message flow.
    #[must_use]
    pub fn all(&self) -> &[LimitUsage] {
        &self.all
    }

    /// The limit that was reached first. Of several in the same step, the one with the highest demand.
    #[must_use]
    pub fn first(&self) -> Option<LimitUsage> {
        let met = self.all.iter().filter(|usage| usage.first.is_some());
        met.copied().min_by(|one, other| {
            let by_time = one
                .first
                .unwrap_or(f64::MAX)
                .total_cmp(&other.first.unwrap_or(f64::MAX));
            by_time.then(other.most.total_cmp(&one.most))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_limit_that_was_reached_first() {
        let mut limits = LimitTracker::default();
        assert_eq!(limits.first(), None);
        assert!((limits.grant(Limit::StreamWrite, 5.0, 10.0, (0.0, 1.0)) - 5.0).abs() < 1e-9);
        assert!((limits.grant(Limit::TableQuota, 30.0, 10.0, (1.0, 1.0)) - 10.0).abs() < 1e-9);
        limits.grant(Limit::StreamWrite, 15.0, 10.0, (2.0, 1.0));
        let first = limits.first().unwrap();
        assert_eq!(
            (first.limit, first.most, first.seconds),
            (Limit::TableQuota, 3.0, 1.0)
        );
        assert_eq!(limits.all().len(), Limit::ALL.len());
    }
}
