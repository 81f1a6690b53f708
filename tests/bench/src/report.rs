//! The figures as tables, as JSON, and as a page with plots that needs no network.

use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::json;

use crate::{
    figures::{self, Figure, Figures, Spread},
    goals::{Judged, short},
    plot,
};

/// A table for each figure: contenders down, cases across, the median with the least and the most.
#[must_use]
pub fn tables(figures: &Figures) -> String {
    let mut text = String::new();
    for figure in figures::ALL {
        let (cases, contenders) = figures.of(*figure);
        if contenders.is_empty() {
            continue;
        }
        let mut table = table();
        table.set_header(
            [
                &[heading(*figure)],
                &cases.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
            ]
            .concat(),
        );
        for contender in contenders {
            let cell = |case: &&str| {
                let spread = figures.get(*figure, case, contender);
                spread.map_or(String::new(), told)
            };
            let mut row = vec![contender.to_owned()];
            row.extend(cases.iter().map(cell));
            table.add_row(row);
        }
        align_right(&mut table);
        text.push_str(&format!("{table}\n\n"));
    }
    text
}

/// A line for each goal.
#[must_use]
pub fn goals(judged: &[Judged]) -> String {
    let mut table = table();
    table.set_header(["goal", "measured", "", "gate"]);
    for goal in judged {
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

fn told(spread: Spread) -> String {
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

/// Writes `results.json` and `index.html` into `directory`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(directory: &Path, figures: &Figures, judged: &[Judged], about: &str) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let results = json!({"about": about, "figures": figures.all(), "goals": judged});
    std::fs::write(directory.join("results.json"), format!("{results:#}\n"))?;
    std::fs::write(directory.join("index.html"), page(figures, judged, about)?)?;
    Ok(())
}

fn page(figures: &Figures, judged: &[Judged], about: &str) -> Result<String> {
    let mut body = format!(
        "<h1>onewrite beside its peers</h1>\n<p>{}</p>\n",
        escaped(about)
    );
    body.push_str("<h2>Goals</h2>\n<table><tr><th>goal<th>measured<th>\n");
    for goal in judged {
        let met = if goal.met { "met" } else { "missed" };
        body.push_str(&format!(
            "<tr class={met}><td>{}<td class=n>{}<td>{met}\n",
            escaped(&goal.what),
            short(goal.value)
        ));
    }
    body.push_str("</table>\n");
    for figure in figures::ALL {
        let (cases, contenders) = figures.of(*figure);
        if contenders.is_empty() {
            continue;
        }
        body.push_str(&format!("<h2>{}</h2>\n", escaped(&heading(*figure))));
        body.push_str(&plot::svg(figures, *figure)?);
        body.push_str("<table><tr><th>");
        for case in &cases {
            body.push_str(&format!("<th>{}", escaped(case)));
        }
        body.push('\n');
        for contender in contenders {
            body.push_str(&format!("<tr><td>{}", escaped(contender)));
            for case in &cases {
                let spread = figures.get(*figure, case, contender);
                body.push_str(&format!(
                    "<td class=n>{}",
                    spread.map_or(String::new(), told)
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
<title>onewrite: bench</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: left; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.missed td { color: #b00; }
svg { max-width: 100%; height: auto; }
</style>
";
