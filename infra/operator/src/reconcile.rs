//! `onewrite reconcile`: items that stay in INIT for too long are found by a scan of the table, and touched, so that their
//! events are published again. It finds what no record anywhere tells of.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use clap::Args;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use onewrite::{item::attribute, notification::Status};
use serde::Serialize;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::sleep_until,
};

use crate::{
    checkpoint::{Checkpoint, Reached, Run},
    consent::Consent,
    cost::prices::Prices,
    error::OperatorError,
    pace::Pace,
    progress,
    redrive::{DEFAULT_RATE, quoted, rate_flag},
    stack::Stack,
    touch::{self, Outcome},
    trace::duration,
};

/// Bytes of one read request unit, by a strongly consistent read; an eventually consistent one costs half (DynamoDB
/// developer guide, "Read and write operations").
const READ_UNIT_BYTES: f64 = 4_096.0;

/// Bytes of one write request unit (the same place).
const WRITE_UNIT_BYTES: f64 = 1_024.0;

/// Units of a page whose cost is not told: 1 MB, the most that a `Scan` reads (DynamoDB API reference).
const FULL_PAGE_UNITS: f64 = 128.0;

/// Segments, where nothing else is said. Our own.
const DEFAULT_SEGMENTS: u32 = 4;

/// Read units a second, where nothing else is said. Our own: a sixth of what one partition gives (3,000, DynamoDB developer
/// guide, "Burst and adaptive capacity").
const DEFAULT_READ_UNITS: u32 = 500;

/// What to look for, and how fast.
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// How long an item is in INIT at least: 90s, 15m, 1h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = age)]
    pending_older_than: SignedDuration,
    /// Parts of the table that are read at the same time.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEGMENTS, value_parser = clap::value_parser!(u32).range(1..=256))]
    segments: u32,
    /// Most read units a second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_READ_UNITS, value_parser = clap::value_parser!(u32).range(1..))]
    read_units: u32,
    /// Most items of one page; what a page holds is read at once, whatever the read units are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_items: Option<i32>,
    /// Keeps in this file how far it is, after each page. Given again, it goes on from there.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Most touches a second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    consent: Consent,
}

/// Reads a duration above nought.
fn age(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let age = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|error| error.to_string())?;
    if age.is_positive() {
        Ok(age)
    } else {
        Err("it is not above nought".to_owned())
    }
}

/// A notification that stays in INIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The notification id.
    pub id: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a scan will take, as the table itself says; it counts itself about every six hours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    items: u64,
    bytes: u64,
}

impl Estimate {
    fn read_units(self) -> f64 {
        self.bytes as f64 / READ_UNIT_BYTES / 2.0
    }

    /// In words.
    #[must_use]
    pub fn text(self, read_units_a_second: u32, prices: &Prices) -> String {
        let units = self.read_units().ceil();
        let seconds = units / f64::from(read_units_a_second);
        let dollars = prices.dynamodb_read_units.of(units);
        let touch = (self.bytes as f64 / self.items.max(1) as f64 / WRITE_UNIT_BYTES).ceil();
        let touch = touch.max(1.0);
        let thousand = prices.dynamodb_write_units.of(touch * 1e3);
        format!(
            "The table has ~{} items, ~{} bytes: reads ~{units} units in ~{} (~${dollars:.4}), and for a thousand touches writes ~{}000 units (~${thousand:.4}); prices on demand, {}, of {}.",
            self.items,
            self.bytes,
            duration((seconds * 1e3) as i64),
            touch,
            prices.region,
            prices.as_of,
        )
    }
}

impl Pending {
    /// A line of the answer.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            id,
            created_at,
            outcome,
        } = self;
        format!("{:<18} {id}, stored {created_at}\n", outcome.text())
    }
}

/// A reconcile that is at its end.
#[derive(Debug)]
pub struct Reconciled {
    /// What was found from here on; what was found before an interruption was told then.
    pub pending: Vec<Pending>,
    /// How far it is; its counts are those of the whole run.
    pub checkpoint: Checkpoint,
}

/// A page of a segment.
struct Page {
    segment: u32,
    read: u64,
    pending: Vec<(String, Timestamp)>,
    reached: Reached,
}

impl ReconcileArgs {
    /// Scans, and touches if there is consent. Each notification is given to `tell` as soon as it is dealt with.
    ///
    /// # Errors
    /// [`OperatorError`]: a call failed. What was told until then is so; it may be given again.
    pub async fn run(
        &self,
        stack: &Stack,
        mut tell: impl FnMut(&Pending),
    ) -> Result<Reconciled, OperatorError> {
        let apply = self.consent.is_given()?;
        let (table, estimate) = describe(stack).await?;
        let run = Run {
            table,
            segments: self.segments,
            pending_older_than_seconds: self.pending_older_than.as_secs(),
            apply,
        };
        let begun = match &self.checkpoint {
            Some(path) => Checkpoint::read(path, &run)?,
            None => None,
        };
        let mut checkpoint = match begun {
            Some(checkpoint) => {
                let Checkpoint { before, tally, .. } = &checkpoint;
                eprintln!(
                    "Goes on with what was stored before {before}, after {} items; {} were pending, {} touched.",
                    tally.read, tally.pending, tally.touched
                );
                checkpoint
            }
            None => {
                let before = Timestamp::now() - self.pending_older_than;
                Checkpoint::start(run, before)
            }
        };
        let prices = Prices::built_in()?;
        eprintln!("{}", estimate.text(self.read_units, &prices));
        if apply {
            let age = self.pending_older_than;
            self.consent
                .ask(&format!("Read it, and touch what is in INIT for {age:#}?"))?;
        }
        let bar = progress::bar("items", Some(estimate.items));
        bar.inc(checkpoint.tally.read);
        let pending = self.scan(stack, &mut checkpoint, &bar, &mut tell).await?;
        bar.finish_and_clear();
        if let Some(path) = &self.checkpoint {
            Checkpoint::remove(path)?;
        }
        Ok(Reconciled {
            pending,
            checkpoint,
        })
    }

    async fn scan(
        &self,
        stack: &Stack,
        checkpoint: &mut Checkpoint,
        bar: &ProgressBar,
        tell: &mut impl FnMut(&Pending),
    ) -> Result<Vec<Pending>, OperatorError> {
        let mut pages = self.pages(stack, checkpoint);
        let mut touches = Pace::new(self.rate);
        let mut all = Vec::new();
        while let Some(page) = pages.receiver.recv().await {
            let page = page?;
            for (id, created_at) in page.pending {
                let outcome = if checkpoint.run.apply {
                    sleep_until(touches.turn()).await;
                    touch::touch(stack, &id).await?
                } else {
                    Outcome::WouldBeRedriven
                };
                let one = Pending {
                    id,
                    created_at,
                    outcome,
                };
                bar.suspend(|| tell(&one));
                checkpoint.tally.pending += 1;
                checkpoint.tally.touched += u64::from(outcome == Outcome::Redriven);
                all.push(one);
            }
            checkpoint.tally.read += page.read;
            bar.inc(page.read);
            // After the page's touches, never before: an interruption between has them touched twice, which is harmless,
            // and not skipped, which is not.
            checkpoint.reached.insert(page.segment, page.reached);
            if let Some(path) = &self.checkpoint {
                checkpoint.write(path)?;
            }
        }
        Ok(all)
    }

    /// Reads the segments that are not at their end, each in a task of its own, which ends with what is returned.
    fn pages(&self, stack: &Stack, checkpoint: &Checkpoint) -> Pages {
        let (sender, receiver) = mpsc::channel(1);
        let pace = Arc::new(Mutex::new(Pace::new(self.read_units)));
        let mut tasks = JoinSet::new();
        for segment in 0..self.segments {
            let after = match checkpoint.reached.get(&segment) {
                Some(Reached::End) => continue,
                Some(Reached::After(id)) => Some(id.clone()),
                None => None,
            };
            let reader = Segment {
                stack: stack.clone(),
                segment,
                segments: self.segments,
                before: checkpoint.before,
                page_items: self.page_items,
                pace: Arc::clone(&pace),
            };
            tasks.spawn(reader.read(after, sender.clone()));
        }
        Pages {
            receiver,
            _tasks: tasks,
        }
    }

    /// What is said at the end, beside the notifications: the exact command that applies it last.
    #[must_use]
    pub fn text(&self, reconciled: &Reconciled, command: &str) -> String {
        let Checkpoint { run, tally, .. } = &reconciled.checkpoint;
        let found = format!(
            "{} of {} items are in INIT for {:#} or longer",
            tally.pending, tally.read, self.pending_older_than
        );
        if run.apply {
            return format!(
                "{found}; {} touched. `{command} trace ID` tells how far one came.\n",
                tally.touched
            );
        }
        if tally.pending == 0 {
            return format!("{found}. Nothing to touch.\n");
        }
        format!(
            "{found}; nothing was changed.\nNext: {command} reconcile{} --apply\n",
            self.flags()
        )
    }

    /// The arguments, but for the checkpoint: an applied run has one of its own.
    fn flags(&self) -> String {
        let age = format!("{:#}", self.pending_older_than);
        let mut flags = format!(" --pending-older-than {}", quoted(&age));
        let defaults = [
            ("--segments", self.segments, DEFAULT_SEGMENTS),
            ("--read-units", self.read_units, DEFAULT_READ_UNITS),
        ];
        for (flag, value, default) in defaults {
            if value != default {
                flags += &format!(" {flag} {value}");
            }
        }
        if let Some(items) = self.page_items {
            flags += &format!(" --page-items {items}");
        }
        if let Some(path) = &self.checkpoint {
            let path = quoted(&format!("{}.apply", path.display()));
            flags += &format!(" --checkpoint {path}");
        }
        flags + &rate_flag(self.rate).unwrap_or_default()
    }
}

struct Pages {
    receiver: mpsc::Receiver<Result<Page, OperatorError>>,
    _tasks: JoinSet<()>,
}

struct Segment {
    stack: Stack,
    segment: u32,
    segments: u32,
    before: Timestamp,
    page_items: Option<i32>,
    pace: Arc<Mutex<Pace>>,
}

impl Segment {
    async fn read(
        self,
        mut after: Option<String>,
        sender: mpsc::Sender<Result<Page, OperatorError>>,
    ) {
        loop {
            let page = self.page(after).await;
            after = match &page {
                Ok(Page {
                    reached: Reached::After(id),
                    ..
                }) => Some(id.clone()),
                _ => None,
            };
            // Nobody listens any more where the run has failed elsewhere.
            if sender.send(page).await.is_err() || after.is_none() {
                return;
            }
        }
    }

    /// One page. An eventually consistent read is enough: what is in INIT for so long was so long ago, and the touch has a
    /// condition of its own.
    async fn page(&self, after: Option<String>) -> Result<Page, OperatorError> {
        // What a page costs is known by its answer alone: the pace is kept on average, not by each page.
        let free_at = self.pace.lock().await.free_at();
        sleep_until(free_at).await;
        let after = after.map(|id| {
            HashMap::from([(attribute::NOTIFICATION_ID.to_owned(), AttributeValue::S(id))])
        });
        let page = self
            .stack
            .dynamodb
            .scan()
            .table_name(&self.stack.table)
            .segment(self.segment as i32)
            .total_segments(self.segments as i32)
            .set_limit(self.page_items)
            .set_exclusive_start_key(after)
            .filter_expression("#status = :init AND #created < :before")
            .projection_expression("#id, #created")
            .expression_attribute_names("#id", attribute::NOTIFICATION_ID)
            .expression_attribute_names("#status", attribute::STATUS)
            .expression_attribute_names("#created", attribute::CREATED_AT)
            .expression_attribute_values(":init", AttributeValue::S(Status::Init.to_string()))
            .expression_attribute_values(
                ":before",
                AttributeValue::S(format!("{:.3}", self.before)),
            )
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| OperatorError::of("Scan", &error))?;
        let used = page
            .consumed_capacity()
            .and_then(ConsumedCapacity::capacity_units);
        self.pace.lock().await.used(used.unwrap_or(FULL_PAGE_UNITS));
        let text = |item: &HashMap<String, AttributeValue>, name| {
            item.get(name).and_then(|value| value.as_s().ok()).cloned()
        };
        let pending = page.items().iter().filter_map(|item| {
            let created_at = text(item, attribute::CREATED_AT)?.parse().ok()?;
            Some((text(item, attribute::NOTIFICATION_ID)?, created_at))
        });
        let last = page.last_evaluated_key();
        let last = last.and_then(|key| text(key, attribute::NOTIFICATION_ID));
        Ok(Page {
            segment: self.segment,
            read: u64::try_from(page.scanned_count()).unwrap_or(0),
            pending: pending.collect(),
            reached: last.map_or(Reached::End, Reached::After),
        })
    }
}

/// The table's ARN, and what it says of its size.
async fn describe(stack: &Stack) -> Result<(String, Estimate), OperatorError> {
    let described = stack
        .dynamodb
        .describe_table()
        .table_name(&stack.table)
        .send()
        .await
        .map_err(|error| OperatorError::of("DescribeTable", &error))?;
    let table = described.table.ok_or(OperatorError::Aws {
        call: "DescribeTable",
        reason: "no table in the answer".to_owned(),
    })?;
    let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    let estimate = Estimate {
        items: count(table.item_count).unwrap_or(0),
        bytes: count(table.table_size_bytes).unwrap_or(0),
    };
    Ok((table.table_arn.unwrap_or_default(), estimate))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ReconcileArgs,
    }

    fn args(arguments: &[&str]) -> Result<ReconcileArgs, clap::Error> {
        let arguments = std::iter::once(&"reconcile").chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.args)
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("1h 30m", 5_400),
            ("2d", 172_800),
        ] {
            assert_eq!(age(text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in ["", "1", "-1h", "0s", "1 month", "soon"] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(args(&[]).unwrap().pending_older_than.as_secs(), 3_600);
        assert!(args(&["--segments", "0"]).is_err());
    }

    #[test]
    fn an_estimate_is_in_units_and_dollars() {
        let estimate = Estimate {
            items: 1_000_000,
            bytes: 1_500_000_000,
        };
        assert_eq!(
            estimate.text(500, &Prices::built_in().unwrap()),
            "The table has ~1000000 items, ~1500000000 bytes: reads ~183106 units in ~6m06s (~$0.0229), and for a thousand touches writes ~2000 units (~$0.0013); prices on demand, us-east-1, of 2026-11."
        );
        let nothing = Estimate { items: 0, bytes: 0 };
        assert!(
            nothing
                .text(500, &Prices::built_in().unwrap())
                .contains("reads ~0 units in ~0.000s (~$0.0000)")
        );
    }

    fn reconciled(args: &ReconcileArgs, apply: bool, pending: u64) -> Reconciled {
        let run = Run {
            table: "t".to_owned(),
            segments: args.segments,
            pending_older_than_seconds: args.pending_older_than.as_secs(),
            apply,
        };
        let mut checkpoint = Checkpoint::start(run, Timestamp::UNIX_EPOCH);
        checkpoint.tally.read = 9;
        checkpoint.tally.pending = pending;
        checkpoint.tally.touched = if apply { pending } else { 0 };
        Reconciled {
            pending: vec![],
            checkpoint,
        }
    }

    #[test]
    fn a_dry_run_ends_with_the_command_that_applies_it() {
        let plain = args(&[]).unwrap();
        assert_eq!(
            plain.text(&reconciled(&plain, false, 2), "onewrite --stack x"),
            "2 of 9 items are in INIT for 1h or longer; nothing was changed.\nNext: onewrite --stack x reconcile --pending-older-than 1h --apply\n"
        );
        assert_eq!(
            plain.text(&reconciled(&plain, false, 0), "onewrite"),
            "0 of 9 items are in INIT for 1h or longer. Nothing to touch.\n"
        );
        assert!(
            plain
                .text(&reconciled(&plain, true, 2), "onewrite")
                .contains("; 2 touched. `onewrite trace ID`")
        );
        let full = [
            "--pending-older-than",
            "15m",
            "--segments",
            "2",
            "--rate",
            "7",
        ];
        let full = args(&[&full[..], &["--checkpoint", "a b", "--page-items", "3"]].concat());
        assert_eq!(
            full.unwrap().flags(),
            " --pending-older-than 15m --segments 2 --page-items 3 --checkpoint 'a b.apply' --rate 7"
        );
    }
}
