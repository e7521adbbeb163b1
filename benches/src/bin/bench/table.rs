//! Rows of words, printed in columns: the first two to the left, numbers to the right.

use std::fmt;

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
        debug_assert_eq!(COLUMNS, self.rows[0].len());
        self.rows.push(row.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].len()).max();
        for row in &self.rows {
            for (column, word) in row.iter().enumerate() {
                let width = width(column).unwrap_or(0);
                match column {
                    0 => write!(formatter, "{word:width$}")?,
                    1 => write!(formatter, "  {word:width$}")?,
                    _ => write!(formatter, "  {word:>width$}")?,
                }
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
