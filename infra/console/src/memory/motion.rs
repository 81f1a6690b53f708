//! How messages move through the model, and the stages and charts that show it.

use jiff::Timestamp;

use super::state::{Item, Place, Point, State, text};
use crate::view::{Charts, Count, Series, Stage};

/// Points of the charts.
const POINTS: usize = 180;

/// Items that the model keeps. It forgets others that are done.
const MAX_ITEMS: usize = 20_000;

/// Messages that one step stores, publishes or settles.
const STEP: usize = 25;

impl State {
    /// Moves messages one stage further.
    pub(super) fn advance(&mut self) {
        if !self.is_lab_paused {
            self.settle();
            self.publish();
            self.store();
        }
        self.add_point();
        self.guide();
        let done = self
            .items
            .iter()
            .filter(|(_, item)| item.place == Place::Done);
        let excess = self.items.len().saturating_sub(MAX_ITEMS);
        let forgotten: Vec<String> = done.map(|(id, _)| id.clone()).take(excess).collect();
        for id in forgotten {
            self.items.remove(&id);
        }
    }

    pub(super) fn send(&mut self, count: u32) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            self.next_id += 1;
            let id = format!("sample-{:06}", self.next_id);
            self.counts.sent += 1;
            self.waiting.push_back(id.clone());
            ids.push(id);
        }
        ids
    }

    fn store(&mut self) {
        let count = self.waiting.len().min(STEP);
        let arrived: Vec<String> = self.waiting.drain(..count).collect();
        for id in arrived {
            if self.items.contains_key(&id) {
                self.counts.duplicates += 1;
                continue;
            }
            self.next_record += 1;
            self.counts.created += 1;
            let payload = r#"{"amount": 12345678901234567890, "currency": "EUR"}"#;
            let item = Item {
                notification_type: "sample".to_owned(),
                payload: Some(payload.to_owned()),
                enrichment: None,
                place: Place::Stored,
                stored_at: Timestamp::now(),
                settled_at: None,
                settled_by: None,
                detail: String::new(),
                sequence_number: sequence_number(self.next_record),
            };
            self.items.insert(id, item);
        }
    }

    fn publish(&mut self) {
        let stored = self.moving(Place::Stored);
        for item in stored {
            item.place = Place::Published;
        }
    }

    fn settle(&mut self) {
        if self.is_complete_paused {
            return;
        }
        let mut count = 0;
        for item in self.moving(Place::Published) {
            item.place = Place::Done;
            item.settled_at = Some(Timestamp::now());
            item.settled_by = Some("targets".to_owned());
            count += 1;
        }
        self.counts.done += count;
        self.counts.effects += count;
    }

    /// The next items of a stage. Those of the rich data, which have a reason to stay, do not move.
    fn moving(&mut self, place: Place) -> impl Iterator<Item = &mut Item> {
        self.items
            .values_mut()
            .filter(move |item| item.place == place && item.detail.is_empty())
            .take(STEP)
    }

    fn add_point(&mut self) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let created = self.counts.created - self.created_at_last_point;
        let done = self.counts.done - self.done_at_last_point;
        self.created_at_last_point = self.counts.created;
        self.done_at_last_point = self.counts.done;
        let load = self.waiting.len() as f64;
        self.points.push_back(Point {
            at: Timestamp::now(),
            created,
            done,
            queue_to_stored: 35.0 + 4.0 * load,
            stored_to_done: 240.0 + 1.5 * load,
            waiting: self.waiting.len() as u64,
        });
    }
}

impl State {
    /// Fills the charts with three minutes of the past, in waves, with a pause.
    pub(super) fn add_past(&mut self) {
        let now = Timestamp::now();
        for before in (1..=POINTS).rev() {
            let wave = (before as f64 / 14.0).sin() + 1.0;
            let is_pause = (60..75).contains(&before);
            let created = if is_pause { 0 } else { (9.0 * wave) as u64 + 1 };
            let millis = i64::try_from(before).unwrap_or_default() * 1_000;
            self.points.push_back(Point {
                at: now - jiff::SignedDuration::from_millis(millis),
                created,
                done: created.saturating_sub(before as u64 % 3),
                queue_to_stored: 30.0 + 25.0 * wave,
                stored_to_done: 220.0 + 90.0 * wave,
                waiting: if is_pause {
                    4 * (75 - before as u64)
                } else {
                    (3.0 * wave) as u64
                },
            });
        }
    }
}

/// A sequence number of Kinesis: 56 digits.
pub(super) fn sequence_number(record: u64) -> String {
    format!("495903382714902566085596925383615{record:023}")
}

fn stage(name: &str, resource: &str, count: u64, count_of: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        resource: resource.to_owned(),
        count: Some(Count(count)),
        count_of: count_of.to_owned(),
        ..Stage::default()
    }
}

pub(super) fn stages(state: &State) -> Vec<Stage> {
    let rates = state.points.iter().rev().take(60);
    let (created, done) = rates.fold((0, 0), |(created, done), point| {
        (created + point.created, done + point.done)
    });
    let rate = |count: u64| Some(count as f64 / 60.0);
    let published = state.count_in(Place::Published);
    let waiting = state.waiting.len() as u64;
    let mut stages = vec![
        stage("queue", "onewrite-notifications", waiting, "waiting"),
        stage("ingest", "onewrite-ingest", state.counts.created, "created"),
        stage("table", "onewrite-table", state.items.len() as u64, "items"),
        stage(
            "forward",
            "onewrite-forward",
            state.next_record,
            "published",
        ),
        stage("stream", "onewrite-stream", published, "records to settle"),
        stage("complete", "onewrite-complete", state.counts.done, "done"),
        stage(
            "targets",
            "https://ledger.example/book",
            state.counts.effects,
            "effects",
        ),
    ];
    for (at, count) in [
        (0, created),
        (1, created),
        (2, created),
        (3, created),
        (4, created),
        (5, done),
        (6, done),
    ] {
        stages[at].rate = rate(count);
    }
    stages[0].oldest_millis = (waiting > 0).then_some(Count(4_200));
    stages[0].is_paused = state.is_lab_paused;
    stages[4].details = vec![format!(
        "shard 0: {published} records, last {}",
        sequence_number(state.next_record)
    )];
    stages[3].is_paused = state.is_lab_paused;
    stages[5].is_paused = state.is_complete_paused || state.is_lab_paused;
    stages[5].in_retry = Some(Count(u64::from(!state.alarms.is_empty()) * 3));
    if let Some(alarm) = state.alarms.first() {
        stages[5].alarms = vec![alarm.name.clone()];
        stages[5].is_failing = true;
        stages[5].last_failure =
            Some("503 from https://ledger.example/book: <b>maintenance</b>".to_owned());
    }
    stages
}

pub(super) fn charts(state: &State) -> Charts {
    type Value = fn(&Point) -> f64;
    let series: [(&str, &str, &str, Value); 7] = [
        ("throughput", "created", "per_second", |point| {
            point.created as f64
        }),
        ("throughput", "done", "per_second", |point| {
            point.done as f64
        }),
        ("queue_to_stored", "p50", "milliseconds", |point| {
            point.queue_to_stored
        }),
        ("queue_to_stored", "p99", "milliseconds", |point| {
            3.2 * point.queue_to_stored
        }),
        ("stored_to_done", "p50", "milliseconds", |point| {
            point.stored_to_done
        }),
        ("stored_to_done", "p99", "milliseconds", |point| {
            2.7 * point.stored_to_done
        }),
        ("backlog", "queue", "count", |point| point.waiting as f64),
    ];
    let values = |chart: &str, value: Value| {
        // A minute without messages has no latency.
        let has_data = |point: &Point| {
            !chart.ends_with("stored") && !chart.ends_with("done") || point.created > 0
        };
        let value = |point: &Point| has_data(point).then(|| value(point));
        state.points.iter().map(value).collect()
    };
    Charts {
        period_seconds: 1,
        times: state.points.iter().map(|point| text(point.at)).collect(),
        series: series
            .into_iter()
            .map(|(chart, name, unit, value)| Series {
                chart: chart.to_owned(),
                name: name.to_owned(),
                unit: unit.to_owned(),
                values: values(chart, value),
            })
            .collect(),
        not_read: Vec::new(),
    }
}
