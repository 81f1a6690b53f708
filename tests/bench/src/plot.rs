//! Plots of a figure: a point for each median and a line from minimum to maximum, with the cases from left to right.

use anyhow::{Result, anyhow};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    element::{Circle, PathElement},
    prelude::{BLACK, Color, IntoDrawingArea, IntoLogRange, Palette, Palette99, SVGBackend, WHITE},
    series::LineSeries,
};

use crate::{
    figures::{Figure, Figures},
    format::short,
};

const SIZE: (u32, u32) = (900, 380);
/// A logarithmic scale has no zero.
const SMALLEST: f64 = 1e-4;

/// Draws an `<svg>` element with a logarithmic scale.
///
/// # Errors
/// If plotters cannot draw the plot.
pub fn svg(figures: &Figures, figure: Figure) -> Result<String> {
    let mut text = String::new();
    draw(figures, figure, &mut text).map_err(|error| anyhow!("{error}"))?;
    Ok(text)
}

fn draw(
    figures: &Figures,
    figure: Figure,
    text: &mut String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (cases, peers) = figures.cases_and_peers(figure);
    let (minimum, maximum) = bounds(figures, figure);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let across = -0.5..cases.len() as f64 + 1.0;
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(across, (minimum / 1.3..maximum * 1.3).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * cases.len() + 4)
        .x_label_formatter(&|place| case_label(&cases, *place))
        .y_desc(figure.unit)
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (index, peer) in peers.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        // Side by side, so that one does not hide another.
        let shift = 0.3 * (index as f64 / peers.len().max(1) as f64 - 0.5);
        let places = cases.iter().enumerate();
        let points: Vec<_> = places
            .filter_map(|(place, case)| {
                let spread = figures.get(figure, case, peer)?;
                Some((place as f64 + shift, spread))
            })
            .collect();
        let medians = points
            .iter()
            .map(|(place, spread)| (*place, spread.median.max(SMALLEST)));
        chart
            .draw_series(LineSeries::new(medians.clone(), color.mix(0.5)))?
            .label(*peer)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        chart.draw_series(points.iter().map(|(place, spread)| {
            let (low, high) = (spread.minimum.max(SMALLEST), spread.maximum.max(SMALLEST));
            PathElement::new(vec![(*place, low), (*place, high)], color)
        }))?;
        chart.draw_series(medians.map(|point| Circle::new(point, 4, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    area.present()?;
    Ok(())
}

fn bounds(figures: &Figures, figure: Figure) -> (f64, f64) {
    let measurements = figures.all().iter();
    measurements
        .filter(|measured| measured.figure == figure)
        .fold((f64::MAX, 1e-3), |(minimum, maximum), measured| {
            (
                measured.spread.minimum.max(SMALLEST).min(minimum),
                measured.spread.maximum.max(maximum),
            )
        })
}

/// The name of the case at a position, if there is one.
fn case_label(cases: &[&str], position: f64) -> String {
    let nearest = position.round();
    let is_case = (position - nearest).abs() < 0.01 && nearest >= 0.0;
    let case = is_case.then(|| cases.get(nearest as usize)).flatten();
    case.map_or(String::new(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::COLD_START;

    #[test]
    fn a_plot_names_its_cases_and_peers() {
        let mut figures = Figures::default();
        for case in ["whole core", "128 MB"] {
            figures.add(COLD_START, case, "a", &[1.0, 2.0, 3.0]);
            figures.add(COLD_START, case, "b", &[0.0]);
        }
        let svg = svg(&figures, COLD_START).unwrap();
        for word in ["<svg", "whole core", "128 MB", ">\na\n<", ">\nb\n<"] {
            assert!(svg.contains(word), "{word} in {svg}");
        }
    }
}
