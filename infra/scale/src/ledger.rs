//! How near each limit was.

use serde::Serialize;

macro_rules! limits {
    ($($name:ident: $what:literal, $raise:literal;)*) => {
        /// The limits of the flow, in its order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Limit {
            $(#[doc = $what] $name,)*
        }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// How to have more.
            #[must_use]
            pub fn raise(self) -> &'static str {
                match self { $(Self::$name => $raise,)* }
            }
        }
    };
}

limits! {
    PollersNow: "pollers that have not scaled up yet", "IngestMinimumPollers";
    IngestConcurrency: "most concurrency of the queue's mapping", "IngestMaximumConcurrency, or provisioned pollers";
    PollerThroughput: "throughput of the most pollers", "IngestMaximumPollers, or more stacks";
    InFlight: "messages of the queue in flight", "shorter window, or more stacks";
    FunctionGrowth: "growth of a function", "none: 1,000 environments in 10 s";
    AccountConcurrency: "concurrency of the account", "Lambda quota, or larger batches";
    TableGrowth: "write units the table has grown to", "warm throughput of the table";
    TableQuota: "quota of write units of a table", "DynamoDB quota, or more stacks";
    HotPartition: "write units of the hottest id's partition", "none: fewer copies of one id";
    ForwardLanes: "forward: stream shards x ParallelizationFactor", "ForwardParallelizationFactor, ForwardBatchSize";
    TableStreamRead: "reads of the table's stream", "none: the table's partitions";
    HotOrder: "forward: one event of an id in a call", "none: order per id";
    StreamWrite: "writes into the notification stream", "ShardCount, or time in on-demand mode";
    StreamRead: "reads of the notification stream", "ShardCount";
    CompleteLanes: "complete: shards x ParallelizationFactor", "CompleteParallelizationFactor, CompleteMaxInFlight";
}

/// How near one limit was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Nearness {
    /// The limit.
    pub limit: Limit,
    /// What was wanted of it at most: 1 is all of it, [`MOST`] that and more.
    pub most: f64,
    /// When more was wanted first, in seconds.
    pub first: Option<f64>,
    /// For how many seconds more was wanted.
    pub seconds: f64,
}

/// More than this is not told apart, so that a limit that had nothing left is a number.
pub const MOST: f64 = 1_000.0;

/// How near each limit was so far.
#[derive(Debug, Clone)]
pub struct Ledger {
    all: Vec<Nearness>,
}

impl Default for Ledger {
    fn default() -> Self {
        let none = |limit: &Limit| Nearness {
            limit: *limit,
            most: 0.0,
            first: None,
            seconds: 0.0,
        };
        Self {
            all: Limit::ALL.iter().map(none).collect(),
        }
    }
}

impl Ledger {
    /// Notes what was wanted of a limit, and what there was, and answers what can be had.
    pub fn grant(&mut self, limit: Limit, wanted: f64, has: f64, (now, step): (f64, f64)) -> f64 {
        let share = match wanted {
            wanted if wanted <= 0.0 => 0.0,
            _ => (wanted / has.max(0.0)).min(MOST),
        };
        if let Some(near) = self.all.iter_mut().find(|near| near.limit == limit) {
            near.most = near.most.max(share);
            if share > 1.0 + 1e-9 {
                near.first.get_or_insert(now);
                near.seconds += step;
            }
        }
        wanted.min(has).max(0.0)
    }

    /// Each, in the order of the flow.
    #[must_use]
    pub fn all(&self) -> &[Nearness] {
        &self.all
    }

    /// The one that was met first; of several in the same step the one that was met hardest.
    #[must_use]
    pub fn first(&self) -> Option<Nearness> {
        let met = self.all.iter().filter(|near| near.first.is_some());
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
    fn it_knows_which_limit_was_met_first() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.first(), None);
        assert!((ledger.grant(Limit::StreamWrite, 5.0, 10.0, (0.0, 1.0)) - 5.0).abs() < 1e-9);
        assert!((ledger.grant(Limit::TableQuota, 30.0, 10.0, (1.0, 1.0)) - 10.0).abs() < 1e-9);
        ledger.grant(Limit::StreamWrite, 15.0, 10.0, (2.0, 1.0));
        let first = ledger.first().unwrap();
        assert_eq!(
            (first.limit, first.most, first.seconds),
            (Limit::TableQuota, 3.0, 1.0)
        );
        assert_eq!(ledger.all().len(), Limit::ALL.len());
    }
}
