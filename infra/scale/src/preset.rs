//! What `SCALING.md` advises for 100, 10,000 and 1,000,000 messages a second.

use clap::ValueEnum;

use crate::settings::{Load, Polling, Profile, Settings, Stream};

/// Messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The template's defaults.
    #[value(name = "100")]
    Hundred,
    /// One stack, its table warmed, its stream provisioned, and its pollers held to what these take.
    #[value(name = "10000")]
    TenThousand,
    /// Fifty such stacks, each with pollers of its own that carry its share from the first second on.
    #[value(name = "1000000")]
    Million,
}

impl Preset {
    /// All of them.
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

    /// How it is set up.
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

/// Messages of 1 KB at a constant rate, one in a hundred twice, for an hour.
#[must_use]
pub fn load(rate: f64) -> Load {
    Load {
        rate,
        profile: Profile::Constant,
        payload_bytes: 1_024.0,
        duplicates: 0.01,
        hot_share: 0.0,
        hot_redrives: 0.0,
        seconds: 3_600.0,
    }
}
