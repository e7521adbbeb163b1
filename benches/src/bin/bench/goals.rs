//! What the figures are to be, and whether they are: each goal names the cells of the tables that it
//! is about.

use std::collections::HashMap;

use squall_benches::table::Table;

use crate::goal_list::GOALS;
use crate::kind::PEERS;

/// The tables of each section of the report.
pub type Sections = HashMap<&'static str, Vec<Table>>;

/// Goal beside measured.
pub fn table(sections: &Sections) -> Table {
    let mut table = Table::new(&["what", "holds", "goal", "measured"]);
    for goal in GOALS {
        let cells = goal.cells.iter().map(|cell| number(sections, cell));
        let measured = cells
            .collect::<Option<Vec<f64>>>()
            .map(|cells| goal.of.value(&cells));
        let sign = if goal.is_least { "≥" } else { "≤" };
        let holds = match measured {
            None => "not measured",
            Some(value) if (value >= goal.bound) == goal.is_least || value == goal.bound => "yes",
            Some(_) => "**no**",
        };
        table.push([
            goal.what.to_string(),
            holds.to_string(),
            format!("{sign} {}", goal.bound),
            measured.map_or("-".into(), |value| format!("{value:.3}")),
        ]);
    }
    table
}

/// The ratios of one comparison side by side: what people choose between.
pub fn summary(sections: &Sections) -> Table {
    let mut names = vec!["hello", "null"];
    names.extend(PEERS.iter().map(|peer| peer.name));
    let headings: Vec<&str> = ["connections", "head"]
        .into_iter()
        .chain(names.clone())
        .collect();
    let mut table = Table::new(&headings);
    for way in ["1", "4", "16", "64", "256", "1024", "64x16", "64@40000"] {
        let mut row = vec![way.to_string(), "small".to_string()];
        row.extend(names.iter().map(|name| {
            let ratio = |section| number(sections, &(section, way, name, "ratio"));
            let ratio = ratio("http").or(ratio("installed"));
            ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"))
        }));
        table.push_row(row);
    }
    table
}

pub const NOTES: &str = "\
The loads are by `connections x pipelined @ requests per second`. Ratios are medians of paired slices
and say nothing below the distance of `null` from 1. What was to be loaded at a fixed rate and did
not keep up counts as not measured. Not among the goals above: what `bench rate` says of limiters.
";

/// A section, how a row begins, and the heading of a column.
pub type Cell = (&'static str, &'static str, &'static str, &'static str);

pub struct Goal {
    pub what: &'static str,
    pub of: Of,
    pub cells: &'static [Cell],
    pub is_least: bool,
    pub bound: f64,
}

#[derive(Clone, Copy)]
pub enum Of {
    GeometricMean,
    Least,
    Most,
    /// The first, over the second.
    Quotient,
}

impl Of {
    fn value(self, cells: &[f64]) -> f64 {
        let cells = cells.iter().copied();
        match self {
            Of::GeometricMean => {
                let count = cells.len() as f64;
                (cells.map(f64::ln).sum::<f64>() / count).exp()
            }
            Of::Least => cells.fold(f64::INFINITY, f64::min),
            Of::Most => cells.fold(f64::NEG_INFINITY, f64::max),
            Of::Quotient => cells.reduce(|one, other| one / other).unwrap_or(f64::NAN),
        }
    }
}

fn number(sections: &Sections, cell: &(&str, &str, &str, &str)) -> Option<f64> {
    let (section, way, subject, column) = *cell;
    let mut tables = sections.get(section)?.iter();
    let table = tables.find(|table| table.number([way, subject], column).is_some())?;
    if let Some((_, rate)) = way.split_once('@') {
        // Who cannot keep up is saturated, and was not measured at that rate.
        let reached = table.number([way, subject], "per second")?;
        if reached < RATE_KEPT * rate.parse::<f64>().ok()? {
            return None;
        }
    }
    table.number([way, subject], column)
}

pub const fn at_least(bound: f64, what: &'static str, of: Of, cells: &'static [Cell]) -> Goal {
    Goal {
        what,
        of,
        cells,
        is_least: true,
        bound,
    }
}

pub const fn at_most(bound: f64, what: &'static str, of: Of, cells: &'static [Cell]) -> Goal {
    Goal {
        what,
        of,
        cells,
        is_least: false,
        bound,
    }
}

/// The last requests of a slice are answered after its end.
const RATE_KEPT: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SECTIONS;

    #[test]
    fn every_goal_is_about_a_section() {
        for (section, ..) in GOALS.iter().flat_map(|goal| goal.cells) {
            assert!(
                SECTIONS.iter().any(|(name, _)| name == section),
                "{section}"
            );
        }
    }

    #[test]
    fn goal_that_was_missed_or_not_measured_is_not_said_to_hold() {
        let printed = |ratio| {
            format!("| connections | subject | ratio |\n|-|-|-|\n| 64 | hello | {ratio} |\n")
        };
        for (ratio, holds) in [("0.97", "yes"), ("0.969", "**no**")] {
            let sections = Sections::from([("accept", Table::all_in(&printed(ratio)))]);
            let text = table(&sections).to_string();
            let mut rows = text.lines();
            let row = rows
                .find(|row| row.contains("new connections"))
                .expect("a row");
            assert!(row.contains(holds), "{row}");
            assert!(text.contains("not measured"));
        }
    }

    #[test]
    fn overload_is_not_taken_for_a_fixed_rate() {
        for (per_second, found) in [(39_000, true), (17_000, false)] {
            let text = format!(
                "| connections | subject | ratio | per second |\n|-|-|-|-|\n| 64@40000 | hello | 0.9 | {per_second} |\n"
            );
            let sections = Sections::from([("http", Table::all_in(&text))]);
            let number = number(&sections, &("http", "64@40000", "hello", "ratio"));
            assert_eq!(number.is_some(), found);
        }
    }

    #[test]
    fn most_least_and_quotient_are_not_mixed_up() {
        let cells = [2.0, 8.0];
        let values = [Of::GeometricMean, Of::Least, Of::Most, Of::Quotient];
        let values = values.map(|of| of.value(&cells));
        assert!((values[0] - 4.0).abs() < 1e-9);
        assert_eq!(values[1..], [2.0, 8.0, 0.25]);
    }
}
