//! Results as tables, as JSON, and as an HTML page with plots that needs no network.

use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::json;

use crate::{
    figures::{self, Figure, Figures, Spread},
    format::short,
    goals::GoalResult,
    plot,
};

/// One or more tables for each figure: a row for each peer, a column for each case, and the median with minimum and maximum.
/// Cases that do not fit on a line are in another table.
#[must_use]
pub fn tables(figures: &Figures) -> String {
    let mut text = String::new();
    for figure in figures::ALL {
        let (cases, peers) = figures.cases_and_peers(*figure);
        for cases in lines(&cases) {
            let mut table = table();
            let mut header = vec![heading(*figure)];
            header.extend(cases.iter().map(ToString::to_string));
            table.set_header(header);
            for peer in &peers {
                let cells = cases.iter().map(|case| {
                    let spread = figures.get(*figure, case, peer);
                    spread.map(format_spread).unwrap_or_default()
                });
                let cells: Vec<_> = cells.collect();
                if cells.iter().any(|cell| !cell.is_empty()) {
                    table.add_row([vec![(*peer).to_owned()], cells].concat());
                }
            }
            align_right(&mut table);
            text.push_str(&format!("{table}\n\n"));
        }
    }
    text
}

/// Groups cases that fit side by side.
fn lines<'a>(cases: &[&'a str]) -> Vec<Vec<&'a str>> {
    const LINE: usize = 120;
    const CELL: usize = 20;
    let mut lines: Vec<Vec<&str>> = Vec::new();
    let mut width = LINE;
    for case in cases {
        let cell = CELL.max(case.chars().count());
        width += cell;
        match lines.last_mut() {
            Some(line) if width <= LINE => line.push(case),
            _ => {
                lines.push(vec![case]);
                width = cell;
            }
        }
    }
    lines
}

/// A table with a row for each goal.
#[must_use]
pub fn goals(results: &[GoalResult]) -> String {
    let mut table = table();
    table.set_header(["goal", "measured", "", "gate"]);
    for goal in results {
        let gate = match goal.passes {
            None => "",
            Some(true) => "passes",
            Some(false) => "FAILS",
        };
        let met = if goal.met { "met" } else { "missed" };
        table.add_row([
            goal.what.clone(),
            short(goal.value),
            met.to_owned(),
            gate.to_owned(),
        ]);
    }
    table.to_string()
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table
}

fn align_right(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn heading(figure: Figure) -> String {
    match figure.unit {
        "" => figure.name.to_owned(),
        unit => format!("{}, {unit}", figure.name),
    }
}

fn format_spread(spread: Spread) -> String {
    let Spread {
        minimum,
        median,
        maximum,
        runs,
    } = spread;
    if runs == 1 {
        return short(median);
    }
    format!("{} ({}-{})", short(median), short(minimum), short(maximum))
}

/// Writes `results.json` and `index.html` to `directory`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    directory: &Path,
    figures: &Figures,
    results: &[GoalResult],
    about: &str,
) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let document = json!({"about": about, "figures": figures.all(), "goals": results});
    std::fs::write(directory.join("results.json"), format!("{document:#}\n"))?;
    std::fs::write(directory.join("index.html"), page(figures, results, about)?)?;
    Ok(())
}

fn page(figures: &Figures, results: &[GoalResult], about: &str) -> Result<String> {
    let mut body = format!(
        "<h1>onewrite compared with its peers</h1>\n<p>{}</p>\n",
        escaped(about)
    );
    body.push_str("<h2>Goals</h2>\n<table><tr><th>goal<th>measured<th>\n");
    for goal in results {
        let met = if goal.met { "met" } else { "missed" };
        body.push_str(&format!(
            "<tr class={met}><td>{}<td class=n>{}<td>{met}\n",
            escaped(&goal.what),
            short(goal.value)
        ));
    }
    body.push_str("</table>\n");
    for figure in figures::ALL {
        let (cases, peers) = figures.cases_and_peers(*figure);
        if peers.is_empty() {
            continue;
        }
        body.push_str(&format!("<h2>{}</h2>\n", escaped(&heading(*figure))));
        body.push_str(&plot::svg(figures, *figure)?);
        body.push_str("<table><tr><th>");
        for case in &cases {
            body.push_str(&format!("<th>{}", escaped(case)));
        }
        body.push('\n');
        for peer in peers {
            body.push_str(&format!("<tr><td>{}", escaped(peer)));
            for case in &cases {
                let spread = figures.get(*figure, case, peer);
                body.push_str(&format!(
                    "<td class=n>{}",
                    spread.map_or(String::new(), format_spread)
                ));
            }
            body.push('\n');
        }
        body.push_str("</table>\n");
    }
    Ok(format!("{HEAD}{body}</html>\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">
<title>onewrite: benchmark</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.missed td { color: #b00; }
svg { max-width: 100%; height: auto; }
</style>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cases_by_line_and_keeps_all_of_them() {
        let (long, longest) = ("x".repeat(50), "y".repeat(200));
        let cases = [
            "a", "b", "c", "d", "e", "f", "g", &long, &long, &longest, "h",
        ];
        let lines = lines(&cases);
        assert_eq!(lines.concat(), cases);
        let sizes: Vec<_> = lines.iter().map(Vec::len).collect();
        assert_eq!(sizes, [6, 3, 1, 1]);
        assert!(super::lines(&[]).is_empty());
    }

    #[test]
    fn a_table_has_only_peers_with_results() {
        let mut figures = Figures::default();
        let (one, other) = ("1".repeat(100), "2".repeat(100));
        figures.add(figures::COLD_START, &*one, "first", &[1.5]);
        figures.add(figures::COLD_START, &*other, "second", &[2.5, 3.5]);
        let text = tables(&figures);
        let (first, second) = text.split_once("\n\n").unwrap();
        assert!(first.contains("first") && first.contains("1.5") && !first.contains("second"));
        assert!(second.contains("second") && second.contains("3 (2.5-3.5)"));
        assert!(!second.contains("first"));
    }
}
