//! What came of a run: as text for people, as JSON for programs, as a page with plots.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::{
    cost::{Cost, NOT_COUNTED, Prices},
    flow::{Flow, Sample, Totals},
    ledger::{Limit, MOST, Nearness},
    plot,
    settings::{Load, Settings, Speed},
};

/// Rows of the table for people.
const ROWS: usize = 12;
/// Samples that are kept for plots and programs.
const SAMPLES: usize = 600;

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// What came.
    pub load: Load,
    /// How it was set up.
    pub settings: Settings,
    /// How fast it was.
    pub speed: Speed,
    /// How it stood, from time to time, in one stack.
    pub samples: Vec<Sample>,
    /// The highest of each, in one stack.
    pub peak: Peak,
    /// The sums of one stack.
    pub totals: Totals,
    /// Whether nothing waits for longer and longer, and nothing is a dead letter.
    pub keeps_up: bool,
    /// The limit that was met first.
    pub met_first: Option<Nearness>,
    /// Of those that were not met, the one that was nearest.
    pub next: Option<Nearness>,
    /// How near each limit was, in the order of the flow.
    pub limits: Vec<Nearness>,
    /// What an hour of it costs, of all stacks.
    pub cost: Cost,
}

/// The highest of each, in one stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Peak {
    /// Messages in the queue.
    pub queue: f64,
    /// Age of the oldest in seconds.
    pub oldest: f64,
    /// How far `forward` was behind, in seconds.
    pub forward_age: f64,
    /// How far `complete` was behind, in seconds.
    pub complete_age: f64,
    /// Invocations at the same time, of all three functions.
    pub concurrency: f64,
    /// Write units a second.
    pub units: f64,
    /// Seconds to DONE for ninety-nine in a hundred, in the worst step.
    pub p99: f64,
}

impl Peak {
    fn see(&mut self, sample: &Sample) {
        let concurrency =
            sample.ingest_concurrency + sample.forward_concurrency + sample.complete_concurrency;
        let pairs = [
            (&mut self.queue, sample.queue),
            (&mut self.oldest, sample.oldest),
            (&mut self.forward_age, sample.forward_age),
            (&mut self.complete_age, sample.complete_age),
            (&mut self.concurrency, concurrency),
            (&mut self.units, sample.units),
            (&mut self.p99, sample.p99),
        ];
        for (peak, value) in pairs {
            *peak = peak.max(value);
        }
    }
}

impl Run {
    /// Runs it, in steps of so many seconds.
    #[must_use]
    pub fn of(load: &Load, settings: &Settings, speed: &Speed, step: f64, prices: &Prices) -> Self {
        let steps = (load.seconds / step).ceil().max(1.0) as usize;
        let every = steps.div_ceil(SAMPLES);
        let mut flow = Flow::new(load, settings, speed, step);
        let (mut samples, mut peak, mut waiting) = (Vec::new(), Peak::default(), Vec::new());
        for index in 1..=steps {
            let sample = flow.step();
            peak.see(&sample);
            waiting.push(sample.queue + sample.table_stream + sample.stream);
            if index == 1 || index % every == 0 || index == steps {
                samples.push(sample);
            }
        }
        let limits = flow.ledger().all().to_vec();
        let unmet = limits.iter().filter(|near| near.first.is_none()).copied();
        Self {
            keeps_up: keeps_up(&waiting, load.at(load.seconds) * step) && flow.totals().dead < 1.0,
            met_first: flow.ledger().first(),
            // Pollers that scale are always nearly where they are wanted.
            next: unmet
                .filter(|near| near.limit != Limit::PollersNow)
                .max_by(|one, other| one.most.total_cmp(&other.most)),
            limits,
            cost: Cost::of(load, settings, flow.totals(), prices),
            totals: *flow.totals(),
            samples,
            peak,
            load: load.clone(),
            settings: settings.clone(),
            speed: speed.clone(),
        }
    }

    /// As a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let (load, stacks) = (&self.load, self.settings.stacks);
        let of_one = if stacks == 1 {
            String::new()
        } else {
            format!(" in {stacks} stacks, figures of one")
        };
        let mut text = format!(
            "{} messages a second of {} bytes, {} copies of each{of_one}\n\n{}\n\n{}\n\n{}\n\n",
            short(load.rate),
            short(load.payload_bytes),
            short(load.duplicates),
            self.flow_table(),
            self.limits_table(),
            self.cost_table(),
        );
        text.push_str(&self.verdict());
        text.push('\n');
        text
    }

    fn verdict(&self) -> String {
        let peak = &self.peak;
        let verdict = if self.keeps_up {
            "It keeps up."
        } else {
            "It does not keep up."
        };
        let first = self.met_first.map_or_else(
            || "No limit was met.".to_owned(),
            |near| {
                let first = near.first.unwrap_or_default();
                format!(
                    "Met first, at {} s, when {} messages a second came: {}. More by: {}.",
                    short(first),
                    short(self.load.at(first)),
                    near.limit.what(),
                    near.limit.raise()
                )
            },
        );
        let next = self.next.map_or_else(String::new, |near| {
            format!(
                " Nearest of the others, at {} %: {}.",
                short(100.0 * near.most),
                near.limit.what()
            )
        });
        format!(
            "{verdict} {first}{next}\nAt most: {} in the queue, oldest {} s, {} invocations at once, {} write units a second. \
             Dead letters: {}.",
            short(peak.queue),
            short(peak.oldest),
            short(peak.concurrency),
            short(peak.units),
            short(self.totals.dead),
        )
    }

    fn flow_table(&self) -> Table {
        let mut table = plain(&[
            "s",
            "arrived/s",
            "queue",
            "oldest s",
            "ingest",
            "throttled/s",
            "stored/s",
            "changes",
            "forward s",
            "shards",
            "published/s",
            "events",
            "complete s",
            "done/s",
            "p50 s",
            "p99 s",
            "dead",
        ]);
        let every = self.samples.len().div_ceil(ROWS);
        let last = self.samples.len().saturating_sub(1);
        let shown = self.samples.iter().enumerate();
        for (_, sample) in shown.filter(|(index, _)| index % every == 0 || *index == last) {
            table.add_row(
                [
                    sample.seconds,
                    sample.arrived,
                    sample.queue,
                    sample.oldest,
                    sample.ingest_concurrency,
                    sample.throttled,
                    sample.stored,
                    sample.table_stream,
                    sample.forward_age,
                    sample.shards,
                    sample.published,
                    sample.stream,
                    sample.complete_age,
                    sample.done,
                    sample.p50,
                    sample.p99,
                    sample.dead,
                ]
                .map(short),
            );
        }
        right(table)
    }

    fn limits_table(&self) -> Table {
        let mut table = plain(&["limit", "wanted at most", "met at s", "for s", "more by"]);
        for near in &self.limits {
            table.add_row([
                near.limit.what().to_owned(),
                if near.most >= MOST {
                    "far more".to_owned()
                } else {
                    format!("{} %", short(100.0 * near.most))
                },
                near.first.map_or_else(|| "-".to_owned(), short),
                if near.first.is_some() {
                    short(near.seconds)
                } else {
                    "-".to_owned()
                },
                near.limit.raise().to_owned(),
            ]);
        }
        table
    }

    fn cost_table(&self) -> String {
        let mut table = plain(&["an hour of it", "", "quantity", "USD"]);
        for position in &self.cost.positions {
            table.add_row([
                position.service.to_owned(),
                position.what.to_owned(),
                short(position.quantity),
                format!("{:.2}", position.usd),
            ]);
        }
        table.add_row(["sum", "", "", &format!("{:.2}", self.cost.usd)]);
        format!(
            "{table}\nprices: {}; not counted: {NOT_COUNTED}",
            self.cost.prices
        )
    }

    /// As a page of its own.
    ///
    /// # Errors
    /// A plot cannot be drawn.
    pub fn html(&self) -> Result<String> {
        let mut page = String::from(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>onewrite: scale</title>\n\
             <style>body{font:14px system-ui,sans-serif;margin:2em}pre{overflow-x:auto}svg{max-width:100%;height:auto}</style>\n\
             <h1>onewrite: scale</h1>\n",
        );
        for plot in plot::PLOTS {
            page.push_str(&format!(
                "<h2>{}</h2>\n{}\n",
                plot.title,
                plot.svg(&self.samples)?
            ));
        }
        page.push_str(&format!("<pre>{}</pre>\n</html>\n", escaped(&self.text())));
        Ok(page)
    }
}

/// Whether no more waits at the end than at three quarters of the time, or hardly anything does.
fn keeps_up(waiting: &[f64], arrives: f64) -> bool {
    let end = waiting.last().copied().unwrap_or_default();
    let before = waiting
        .get(waiting.len() * 3 / 4)
        .copied()
        .unwrap_or_default();
    end <= before.max(5.0 * arrives) + 1e-6
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    table
}

fn right(mut table: Table) -> Table {
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A figure with three digits that count, or a whole number.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size < 5e-4 {
        "0".to_owned()
    } else if size < 10.0 && (value - value.round()).abs() > 5e-3 {
        format!("{value:.2}")
    } else if size < 1e6 {
        format!("{value:.0}")
    } else if size < 1e9 {
        format!("{:.2}M", value / 1e6)
    } else {
        format!("{:.2}G", value / 1e9)
    }
}
