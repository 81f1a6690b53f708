//! Invariants for every load and configuration, and the effect of single limits.
#![allow(clippy::unwrap_used)]

use onewrite_cost::prices::Prices;
use onewrite_scale::{
    flow::Flow,
    limit_usage::Limit,
    limits::{PARTITION_UNITS, SHARD_BYTES, SHARD_RECORDS},
    preset::Preset,
    report::Run,
    settings::{Load, Polling, Profile, Settings, Speed, Stream},
};
use proptest::prelude::*;

fn run(load: &Load, settings: &Settings) -> Run {
    let prices = Prices::built_in().unwrap();
    Run::simulate(load, settings, &Speed::default(), 1.0, &prices)
}

fn profiles() -> impl Strategy<Value = Profile> {
    prop_oneof![
        Just(Profile::Constant),
        (0.0..5_000.0_f64).prop_map(|from| Profile::Ramp { from }),
        (0.0..500.0_f64, 0.0..200.0_f64, 1.0..200.0_f64)
            .prop_map(|(from, at, seconds)| { Profile::Burst { from, at, seconds } }),
    ]
}

fn loads() -> impl Strategy<Value = Load> {
    let rates = (0.0..50_000.0_f64, profiles(), 1.0..300_000.0_f64);
    let rest = (0.0..2.0_f64, 0.0..1.0_f64, 0.0..2_000.0_f64, 1.0..600.0_f64);
    (rates, rest).prop_map(
        |((rate, profile, payload_bytes), (duplicates, hot_share, hot_redrives, seconds))| Load {
            rate,
            profile,
            payload_bytes,
            duplicates,
            hot_share,
            hot_redrives,
            seconds,
        },
    )
}

fn pollings() -> impl Strategy<Value = Polling> {
    prop_oneof![
        (2..1_000_u32).prop_map(|maximum_concurrency| Polling::Standard {
            maximum_concurrency
        }),
        (2..200_u32, 200..2_000_u32)
            .prop_map(|(minimum, maximum)| Polling::Provisioned { minimum, maximum }),
    ]
}

fn streams() -> impl Strategy<Value = Stream> {
    prop_oneof![
        (1..500_u32).prop_map(|shards| Stream::Provisioned { shards }),
        (1.0..10.0_f64, 10.0..400.0_f64)
            .prop_map(|(first, quota)| Stream::OnDemand { first, quota }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let ends = (pollings(), streams(), 1..5_u32, 0..5_u32, 1..200_u32);
    let middle = (1..=10_u32, 1..=10_u32, 3..3_000_u32, 10.0..50_000.0_f64);
    (ends, middle).prop_map(
        |((polling, stream, stacks, window, visibility), (forward, complete, account, units))| {
            Settings {
                stacks,
                ingest_batch: if window == 0 { 10 } else { 1_000 },
                ingest_window: window,
                polling,
                visibility_seconds: visibility,
                forward_parallelization: forward,
                complete_parallelization: complete,
                stream,
                table_warm_units: units,
                account_concurrency: account,
                ..Settings::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_message_is_done_or_waits_somewhere(load in loads(), settings in settings()) {
        let mut flow = Flow::new(&load, &settings, &Speed::default(), 1.0);
        for _ in 0..load.seconds.ceil() as usize {
            let sample = flow.step();
            let figures = serde_json::to_value(sample).unwrap();
            for (name, value) in figures.as_object().unwrap() {
                let value = value.as_f64().unwrap_or(f64::NAN);
                prop_assert!(value >= 0.0 && value.is_finite(), "{name}: {value}");
            }
            prop_assert!(sample.p50 <= sample.p99 + 1e-9);
            let totals = *flow.totals();
            let close = |one: f64, other: f64| (one - other).abs() <= 1e-6 * one.max(1.0);
            let found = totals.stored + totals.copies + totals.dead + flow.queued();
            prop_assert!(close(totals.arrived, found), "{} arrived, {found} found", totals.arrived);
            let found = totals.done + flow.pending();
            prop_assert!(close(totals.stored, found), "{} stored, {found} found", totals.stored);
            prop_assert!(sample.units <= settings.table_quota_units.max(PARTITION_UNITS) + 1e-3);
        }
    }

    #[test]
    fn never_exceeds_the_concurrency_of_the_account(load in loads(), settings in settings()) {
        let mut flow = Flow::new(&load, &settings, &Speed::default(), 1.0);
        let most = f64::from(settings.account_concurrency) / f64::from(settings.stacks);
        for _ in 0..load.seconds.ceil() as usize {
            let sample = flow.step();
            let used = sample.ingest_concurrency + sample.forward_concurrency + sample.complete_concurrency;
            prop_assert!(used <= most + 1e-6, "{used} of {most}");
        }
    }

    #[test]
    fn limits_a_hot_id_by_partition_shard_and_order(
        redrives in 0.0..5_000.0_f64, bytes in 1.0..100_000.0_f64, kinesis_ms in 0.1..100.0_f64,
    ) {
        let load = Load { hot_redrives: redrives, payload_bytes: bytes, seconds: 60.0, ..Load::constant(10.0) };
        let settings = Settings { stream: Stream::Provisioned { shards: 500 }, ..Settings::default() };
        let speed = Speed { kinesis_ms, ..Speed::default() };
        let mut flow = Flow::new(&load, &settings, &speed, 1.0);
        for second in 1..=60 {
            flow.step();
            let each_second = flow.totals().hot_published / f64::from(second);
            prop_assert!(each_second <= SHARD_RECORDS + 1e-6);
            prop_assert!(each_second * load.record_bytes() <= SHARD_BYTES + 1e-3);
            prop_assert!(each_second <= PARTITION_UNITS / load.units() + 1e-6);
            prop_assert!(each_second <= 1_000.0 / kinesis_ms + 1e-6);
        }
        let wanted = redrives * 60.0;
        let found = flow.totals().hot_published + flow.totals().hot_refused + flow.hot_waiting();
        prop_assert!((wanted - found).abs() <= 1e-6 * wanted.max(1.0));
    }
}

#[test]
fn drains_the_backlog_of_a_burst_below_the_limits() {
    let load = Load {
        profile: Profile::Burst {
            from: 100.0,
            at: 60.0,
            seconds: 30.0,
        },
        ..Load::constant(800.0)
    };
    let run = run(&load, &Settings::default());
    assert!(run.keeps_up);
    let last = run.samples.last().unwrap();
    assert!(last.queue < 1.0 && last.stream < 1.0, "{last:?}");
    assert!(last.p99 < 3.0, "{last:?}");
}

#[test]
fn backlog_grows_linearly_above_the_concurrency() {
    let settings = Settings {
        polling: Polling::Standard {
            maximum_concurrency: 2,
        },
        ..Settings::default()
    };
    let load = Load {
        seconds: 600.0,
        ..Load::constant(800.0)
    };
    let run = run(&load, &settings);
    assert!(!run.keeps_up);
    let at = |seconds: f64| {
        let sample = run
            .samples
            .iter()
            .find(|sample| (sample.seconds - seconds).abs() < 0.5);
        sample.map(|sample| sample.queue).unwrap()
    };
    let (early, late) = (at(200.0) - at(100.0), at(600.0) - at(500.0));
    assert!(
        early > 1_000.0 && (early - late).abs() < 1e-3 * early,
        "{early}, {late}"
    );
    assert_eq!(run.met_first.unwrap().limit, Limit::IngestConcurrency);
}

#[test]
fn too_few_shards_limit_the_notification_stream() {
    let settings = Settings {
        stream: Stream::Provisioned { shards: 1 },
        ..Settings::default()
    };
    let run = run(&Load::constant(400.0), &settings);
    assert_eq!(run.met_first.unwrap().limit, Limit::StreamWrite);
    assert!(!run.keeps_up);
    let published = run.samples.last().unwrap().published;
    assert!((published * run.load.record_bytes() - SHARD_BYTES).abs() < 1.0);
}

#[test]
fn an_on_demand_stream_grows_until_it_is_large_enough() {
    let load = Load {
        seconds: 7_200.0,
        ..Load::constant(3_000.0)
    };
    let settings = Settings {
        table_warm_units: 40_000.0,
        ..Settings::default()
    };
    let run = run(&load, &settings);
    assert!(run.keeps_up, "{}", run.text());
    assert!(run.samples.last().unwrap().shards >= 8.0);
    let met = run
        .limits
        .iter()
        .find(|usage| usage.limit == Limit::StreamWrite);
    assert!(met.unwrap().first.is_some());
}

/// Polling must not be faster than the table: a throttled message is hidden for the visibility timeout.
#[test]
fn polling_faster_than_the_table_delays_the_oldest_message() {
    let advised = Preset::TenThousand.settings();
    let fast = Settings {
        polling: Polling::Standard {
            maximum_concurrency: 1_000,
        },
        ..advised.clone()
    };
    // Two write units each, also compressed.
    let load = Load {
        payload_bytes: 2_048.0,
        ..Load::constant(Preset::TenThousand.rate())
    };
    let (advised, fast) = (run(&load, &advised), run(&load, &fast));
    assert!(advised.peak.oldest < 10.0, "{}", advised.peak.oldest);
    assert!(fast.peak.oldest > 180.0, "{}", fast.peak.oldest);
}

#[test]
fn the_same_input_gives_the_same_output() {
    let once =
        || serde_json::to_string(&run(&Load::constant(5_000.0), &Settings::default())).unwrap();
    assert_eq!(once(), once());
}

#[test]
fn html_page_has_every_plot_and_no_links() {
    let run = run(&Load::constant(100.0), &Settings::default());
    let page = run.html().unwrap();
    assert_eq!(
        page.matches("<svg").count(),
        onewrite_scale::plot::PLOTS.len()
    );
    let links = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!links.contains("http"), "the page has a link");
}
