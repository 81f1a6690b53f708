//! A figure as a plot: a point for each median, a line from the least to the most, cases from left to right.

use anyhow::{Result, anyhow};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    element::{Circle, PathElement},
    prelude::{BLACK, Color, IntoDrawingArea, IntoLogRange, Palette, Palette99, SVGBackend, WHITE},
    series::LineSeries,
};

use crate::{
    figures::{Figure, Figures},
    goals::short,
};

const SIZE: (u32, u32) = (900, 380);

/// An `<svg>` element; the scale of the values is logarithmic.
///
/// # Errors
/// The plot cannot be drawn.
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
    let (cases, contenders) = figures.of(figure);
    let measured = figures
        .all()
        .iter()
        .filter(|measured| measured.figure == figure);
    let spreads: Vec<_> = measured.map(|measured| measured.spread).collect();
    // A logarithmic scale has no zero.
    let least = spreads
        .iter()
        .map(|spread| spread.minimum.max(1e-4))
        .fold(f64::MAX, f64::min);
    let most = spreads
        .iter()
        .map(|spread| spread.maximum)
        .fold(1e-3, f64::max);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let across = -0.5..cases.len() as f64 + 1.0;
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(across, (least / 1.3..most * 1.3).log_scale())?;
    let case_at = |place: &f64| {
        let nearest = place.round();
        let is_there = (place - nearest).abs() < 0.01 && nearest >= 0.0;
        let case = is_there.then(|| cases.get(nearest as usize)).flatten();
        case.map_or(String::new(), ToString::to_string)
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * cases.len() + 4)
        .x_label_formatter(&case_at)
        .y_desc(figure.unit)
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (index, contender) in contenders.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        // Side by side, so that one does not hide another.
        let shift = 0.3 * (index as f64 / contenders.len().max(1) as f64 - 0.5);
        let places = cases.iter().enumerate();
        let points: Vec<_> = places
            .filter_map(|(place, case)| {
                let spread = figures.get(figure, case, contender)?;
                Some((place as f64 + shift, spread))
            })
            .collect();
        let medians = points
            .iter()
            .map(|(place, spread)| (*place, spread.median.max(1e-4)));
        chart
            .draw_series(LineSeries::new(medians.clone(), color.mix(0.5)))?
            .label(*contender)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        chart.draw_series(points.iter().map(|(place, spread)| {
            let (low, high) = (spread.minimum.max(1e-4), spread.maximum.max(1e-4));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::COLD_START;

    #[test]
    fn a_plot_names_its_cases_and_contenders() {
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
