//! The result of a simulation: text for people, JSON for programs, and an HTML page with plots.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use onewrite_cost::prices::Prices;
use serde::Serialize;

use crate::{
    cost::{HourlyCost, NOT_COUNTED},
    flow::Flow,
    format::short,
    limit_usage::{Limit, LimitUsage, MAXIMUM_USAGE},
    plot,
    sample::{Sample, Totals},
    settings::{Load, Settings, Speed},
};

/// Rows of the text table.
const ROWS: usize = 12;
/// Maximum number of samples in plots and JSON.
const SAMPLES: usize = 600;

/// A simulation and its results.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub load: Load,
    pub settings: Settings,
    pub speed: Speed,
    /// Samples of one stack.
    pub samples: Vec<Sample>,
    pub peak: Peak,
    /// Totals of one stack.
    pub totals: Totals,
    /// Whether no backlog grows and no message becomes a dead letter.
    pub keeps_up: bool,
    /// The limit that was reached first.
    pub met_first: Option<LimitUsage>,
    /// The limit with the highest usage among those that were not reached.
    pub next: Option<LimitUsage>,
    /// All limits, in the order of the message flow.
    pub limits: Vec<LimitUsage>,
    /// The cost of all stacks per hour.
    pub cost: HourlyCost,
}

/// The highest values in one stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Peak {
    /// Messages in the queue.
    pub queue: f64,
    /// Age of the oldest message in seconds.
    pub oldest: f64,
    /// Iterator age of `forward` in seconds.
    pub forward_age: f64,
    /// Iterator age of `complete` in seconds.
    pub complete_age: f64,
    /// Concurrent invocations of all three functions.
    pub concurrency: f64,
    /// Write units a second.
    pub units: f64,
    /// 99th percentile of the seconds to DONE in the worst step.
    pub p99: f64,
}

impl Peak {
    fn update(&mut self, sample: &Sample) {
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
    /// Simulates one of the stacks in steps of this many seconds.
    #[must_use]
    pub fn simulate(
        load: &Load,
        settings: &Settings,
        speed: &Speed,
        step: f64,
        prices: &Prices,
    ) -> Self {
        let steps = (load.seconds / step).ceil().max(1.0) as usize;
        let every = steps.div_ceil(SAMPLES);
        let mut flow = Flow::new(load, settings, speed, step);
        let (mut samples, mut peak, mut waiting) = (Vec::new(), Peak::default(), Vec::new());
        for index in 1..=steps {
            let sample = flow.step();
            peak.update(&sample);
            waiting.push(sample.queue + sample.table_stream + sample.stream);
            if index == 1 || index % every == 0 || index == steps {
                samples.push(sample);
            }
        }
        let limits = flow.limits().all().to_vec();
        let not_reached = limits.iter().filter(|usage| usage.first.is_none()).copied();
        Self {
            keeps_up: keeps_up(&waiting, load.rate_at(load.seconds) * step)
                && flow.totals().dead < 1.0,
            met_first: flow.limits().first(),
            // Scaling pollers are always close to their current capacity.
            next: not_reached
                .filter(|usage| usage.limit != Limit::PollersNow)
                .max_by(|one, other| one.most.total_cmp(&other.most)),
            limits,
            cost: HourlyCost::new(load, settings, flow.totals(), prices),
            totals: *flow.totals(),
            samples,
            peak,
            load: load.clone(),
            settings: settings.clone(),
            speed: speed.clone(),
        }
    }

    /// The results as text.
    #[must_use]
    pub fn text(&self) -> String {
        let load = &self.load;
        let stacks = self.settings.stacks;
        let stacks = if stacks == 1 {
            String::new()
        } else {
            format!(" in {stacks} stacks; figures are per stack")
        };
        let mut text = format!(
            "{} messages a second of {} bytes, {} copies of each{stacks}\n\n{}\n\n{}\n\n{}\n\n",
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
            "The pipeline keeps up."
        } else {
            "The pipeline does not keep up."
        };
        let first = self.met_first.map_or_else(
            || "No limit is reached.".to_owned(),
            |usage| {
                let first = usage.first.unwrap_or_default();
                format!(
                    "First limit reached, after {} s at {} messages a second: {}. To raise it: {}.",
                    short(first),
                    short(self.load.rate_at(first)),
                    usage.limit.description(),
                    usage.limit.remedy()
                )
            },
        );
        let next = self.next.map_or_else(String::new, |usage| {
            format!(
                " Next limit, used up to {} %: {}.",
                short(100.0 * usage.most),
                usage.limit.description()
            )
        });
        format!(
            "{verdict} {first}{next}\nPeaks: {} messages in the queue, oldest {} s, {} concurrent invocations, {} write units a second. \
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
        align_right(table)
    }

    fn limits_table(&self) -> Table {
        let mut table = plain(&[
            "limit",
            "peak demand",
            "reached at s",
            "for s",
            "to raise it",
        ]);
        for usage in &self.limits {
            table.add_row([
                usage.limit.description().to_owned(),
                if usage.most >= MAXIMUM_USAGE {
                    "no capacity".to_owned()
                } else {
                    format!("{} %", short(100.0 * usage.most))
                },
                usage.first.map_or_else(|| "-".to_owned(), short),
                if usage.first.is_some() {
                    short(usage.seconds)
                } else {
                    "-".to_owned()
                },
                usage.limit.remedy().to_owned(),
            ]);
        }
        table
    }

    fn cost_table(&self) -> String {
        let mut table = plain(&["cost per hour", "", "quantity", "USD"]);
        for item in &self.cost.line_items {
            table.add_row([
                item.service.to_owned(),
                item.what.to_owned(),
                short(item.quantity),
                format!("{:.2}", item.usd),
            ]);
        }
        table.add_row(["total", "", "", &format!("{:.2}", self.cost.usd)]);
        format!(
            "{table}\nprices: {}; not included: {NOT_COUNTED}",
            self.cost.prices
        )
    }

    /// The results as an HTML page with plots.
    ///
    /// # Errors
    /// If a plot cannot be drawn.
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

/// Whether the backlog at the end is not larger than after three quarters of the time, or is small.
fn keeps_up(waiting: &[f64], arriving: f64) -> bool {
    let end = waiting.last().copied().unwrap_or_default();
    let before = waiting
        .get(waiting.len() * 3 / 4)
        .copied()
        .unwrap_or_default();
    end <= before.max(5.0 * arriving) + 1e-6
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    table
}

fn align_right(mut table: Table) -> Table {
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
