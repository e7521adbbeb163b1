//! Rows of words, printed as a Markdown table whose columns are aligned: the first two to the left,
//! numbers to the right.

use std::fmt;

#[derive(Debug, PartialEq)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headings: &[&str]) -> Table {
        Table {
            rows: vec![headings.iter().map(|heading| heading.to_string()).collect()],
        }
    }

    pub fn push<const COLUMNS: usize>(&mut self, row: [String; COLUMNS]) {
        self.push_row(row.into());
    }

    pub fn push_row(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.rows[0].len());
        self.rows.push(row);
    }

    /// All tables in a text, as they were printed.
    pub fn all_in(text: &str) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut is_inside = false;
        for line in text.lines() {
            let row = line
                .strip_prefix("| ")
                .and_then(|row| row.strip_suffix(" |"));
            let Some(row) = row else {
                is_inside = line.starts_with("|-");
                continue;
            };
            let row = row
                .split(" | ")
                .map(|word| word.trim().to_string())
                .collect();
            match tables.last_mut() {
                Some(table) if is_inside => table.rows.push(row),
                _ => tables.push(Table { rows: vec![row] }),
            }
        }
        tables
    }

    /// The number in the `column` of that heading and the row that begins with these words.
    pub fn number(&self, row: [&str; 2], column: &str) -> Option<f64> {
        let (headings, rows) = self.rows.split_first()?;
        let column = headings.iter().position(|heading| heading == column)?;
        let row = rows.iter().find(|words| words[..2] == row)?;
        row[column].parse().ok()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let words = self.rows.iter().map(|row| row[column].chars().count());
            words.max().unwrap_or(0)
        };
        for (index, row) in self.rows.iter().enumerate() {
            for (column, word) in row.iter().enumerate() {
                let width = width(column);
                match column {
                    0 | 1 => write!(formatter, "| {word:width$} ")?,
                    _ => write!(formatter, "| {word:>width$} ")?,
                }
            }
            writeln!(formatter, "|")?;
            if index == 0 {
                for column in 0..row.len() {
                    let dashes = "-".repeat(width(column) + 1);
                    let last = if column < 2 { '-' } else { ':' };
                    write!(formatter, "|{dashes}{last}")?;
                }
                writeln!(formatter, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_found_again() {
        let mut one = Table::new(&["connections", "subject", "ratio"]);
        one.push(["64".into(), "hello".into(), "0.97".into()]);
        one.push(["64x16".into(), "hello".into(), "0.9".into()]);
        let mut other = Table::new(&["a", "b"]);
        other.push(["µs".into(), String::new()]);
        let text = format!("before\n\n{one}\nbetween\n{other}");
        assert_eq!(Table::all_in(&text), [one, other]);
        let table = &Table::all_in(&text)[0];
        assert_eq!(table.number(["64x16", "hello"], "ratio"), Some(0.9));
        assert_eq!(table.number(["64x16", "hello"], "subject"), None);
        assert_eq!(table.number(["1", "hello"], "ratio"), None);
    }
}
