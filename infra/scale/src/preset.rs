//! The configurations that `docs/scaling.md` recommends for 100, 10,000 and 1,000,000 messages a second.

use clap::ValueEnum;

use crate::settings::{Polling, Settings, Stream};

/// Messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The template's defaults.
    #[value(name = "100")]
    Hundred,
    /// One stack with a warmed table and a provisioned stream. Polling is limited to what these accept.
    #[value(name = "10000")]
    TenThousand,
    /// Fifty stacks, each with enough provisioned pollers for its share from the start.
    #[value(name = "1000000")]
    Million,
}

impl Preset {
    pub const ALL: [Self; 3] = [Self::Hundred, Self::TenThousand, Self::Million];

    /// Messages a second.
    #[must_use]
    pub fn rate(self) -> f64 {
        match self {
            Self::Hundred => 100.0,
            Self::TenThousand => 10_000.0,
            Self::Million => 1_000_000.0,
        }
    }

    #[must_use]
    pub fn settings(self) -> Settings {
        match self {
            Self::Hundred => Settings::default(),
            Self::TenThousand => Settings {
                polling: Polling::Standard {
                    maximum_concurrency: 60,
                },
                stream: Stream::Provisioned { shards: 50 },
                table_warm_units: 60_000.0,
                table_quota_units: 80_000.0,
                ..Settings::default()
            },
            Self::Million => Settings {
                stacks: 50,
                polling: Polling::Provisioned {
                    minimum: 200,
                    maximum: 240,
                },
                stream: Stream::Provisioned { shards: 80 },
                table_warm_units: 120_000.0,
                table_quota_units: 160_000.0,
                forward_parallelization: 2,
                complete_parallelization: 2,
                account_concurrency: 30_000,
                ..Settings::default()
            },
        }
    }
}
