//! Line plots of a run over time.

use anyhow::{Result, anyhow};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    element::PathElement,
    prelude::{BLACK, Color, IntoDrawingArea, Palette, Palette99, SVGBackend, WHITE},
    series::LineSeries,
};

use crate::{format::short, sample::Sample};

const SIZE: (u32, u32) = (900, 300);

/// A line: its name, and its value in a sample.
type Line = (&'static str, fn(&Sample) -> f64);

/// A plot of one or more lines.
#[derive(Debug, Clone, Copy)]
pub struct Plot {
    pub title: &'static str,
    unit: &'static str,
    lines: &'static [Line],
}

/// All plots, in the order of the message flow.
pub const PLOTS: &[Plot] = &[
    Plot {
        title: "Throughput",
        unit: "a second",
        lines: &[
            ("arrived", |sample| sample.arrived),
            ("stored", |sample| sample.stored),
            ("published", |sample| sample.published),
            ("DONE", |sample| sample.done),
            ("throttled", |sample| sample.throttled),
        ],
    },
    Plot {
        title: "Backlog",
        unit: "messages, changes, events",
        lines: &[
            ("queue", |sample| sample.queue),
            ("table's stream", |sample| sample.table_stream),
            ("notification stream", |sample| sample.stream),
            ("dead letters", |sample| sample.dead),
        ],
    },
    Plot {
        title: "Age",
        unit: "seconds",
        lines: &[
            ("oldest message in the queue", |sample| sample.oldest),
            ("iterator age of forward", |sample| sample.forward_age),
            ("iterator age of complete", |sample| sample.complete_age),
        ],
    },
    Plot {
        title: "Concurrent invocations",
        unit: "",
        lines: &[
            ("ingest", |sample| sample.ingest_concurrency),
            ("forward", |sample| sample.forward_concurrency),
            ("complete", |sample| sample.complete_concurrency),
        ],
    },
    Plot {
        title: "Shards of the notification stream and provisioned pollers",
        unit: "",
        lines: &[
            ("shards", |sample| sample.shards),
            ("pollers", |sample| sample.pollers),
        ],
    },
    Plot {
        title: "Time from arrival to DONE",
        unit: "seconds",
        lines: &[
            ("median", |sample| sample.p50),
            ("99th percentile", |sample| sample.p99),
        ],
    },
];

impl Plot {
    /// Draws an `<svg>` element.
    ///
    /// # Errors
    /// If plotters cannot draw the plot.
    pub fn svg(&self, samples: &[Sample]) -> Result<String> {
        let mut text = String::new();
        self.draw(samples, &mut text)
            .map_err(|error| anyhow!("{error}"))?;
        Ok(text)
    }

    fn draw(
        &self,
        samples: &[Sample],
        text: &mut String,
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let end = samples.last().map_or(1.0, |sample| sample.seconds);
        let values = samples
            .iter()
            .flat_map(|sample| self.lines.iter().map(|(_, value)| value(sample)));
        let maximum = values.fold(1.0, f64::max);
        let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..end, 0.0..maximum * 1.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .y_desc(self.unit)
            .x_label_formatter(&|seconds| format!("{} s", short(*seconds)))
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        for (index, (name, value)) in self.lines.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let points = samples.iter().map(|sample| (sample.seconds, value(sample)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
