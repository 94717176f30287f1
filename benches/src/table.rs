//! The table of figures: what was measured, what it is to be, and how it is printed and kept.

use std::fmt::Write as _;

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At least this share of the limit.
    AtLeast(f64),
    /// At most this many times the limit.
    AtMost(f64),
    /// At most this, whatever the limit.
    Within(f64),
    /// It is only shown.
    Shown,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, and in which unit.
    pub figure: String,
    /// What milepost did.
    pub milepost: f64,
    /// What the hand-written code did.
    pub limit: Option<f64>,
    /// Milepost's by the limit's: the median of the rounds if there were several.
    pub ratio: Option<f64>,
    /// What it is to be.
    pub target: Target,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

const HEADS: [&str; 6] = ["figure", "milepost", "limit", "ratio", "target", "met"];

impl Row {
    /// Whether the target is met; none if there is none.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(least) => Some(self.ratio.is_some_and(|ratio| ratio >= least)),
            Target::AtMost(most) => Some(self.ratio.is_some_and(|ratio| ratio <= most)),
            Target::Within(most) => Some(self.milepost <= most),
            Target::Shown => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        let target = match self.target {
            Target::AtLeast(least) => format!(">= {least} x"),
            Target::AtMost(most) => format!("<= {most} x"),
            Target::Within(most) => format!("<= {most}"),
            Target::Shown => String::new(),
        };
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "",
        };
        [
            self.figure.clone(),
            number(self.milepost),
            self.limit.map_or_else(String::new, number),
            self.ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            target,
            met.to_owned(),
        ]
    }
}

impl Table {
    /// Adds a figure, and prints it at once: a run takes minutes.
    pub fn push(&mut self, row: Row) {
        println!("{}", text(&row.cells()));
        self.rows.push(row);
    }

    /// Prints what is above each column.
    pub fn print_heads() {
        println!("{}", text(&HEADS.map(str::to_owned)));
    }

    /// The table for a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut table = format!("| {} |\n|---|---:|---:|---:|---|---|\n", HEADS.join(" | "));
        for row in &self.rows {
            table.push_str("| ");
            table.push_str(&row.cells().join(" | "));
            table.push_str(" |\n");
        }
        table
    }

    /// The table for programs: `header` in comments, then a line of names, then a line for each figure.
    /// Numbers are not rounded; a target of a ratio ends in `x`.
    #[must_use]
    pub fn csv(&self, header: &[String]) -> String {
        let mut csv = String::new();
        for line in header {
            // Writing to a string cannot fail.
            let _ = writeln!(csv, "# {line}");
        }
        csv.push_str(&HEADS.join(","));
        csv.push('\n');
        for row in &self.rows {
            let [figure, _, _, _, target, met] = row.cells();
            let optional = |value: Option<f64>| value.map_or_else(String::new, |it| it.to_string());
            let (milepost, limit) = (row.milepost.to_string(), optional(row.limit));
            let cells = [
                format!("\"{figure}\""),
                milepost,
                limit,
                optional(row.ratio),
                target,
                met,
            ];
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
        csv
    }
}

fn text([figure, milepost, limit, ratio, target, met]: &[String; 6]) -> String {
    format!("{figure:<72} {milepost:>10} {limit:>10} {ratio:>7} {target:>9} {met}")
}

/// Three digits that say something, or all that are before the point.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(milepost: f64, ratio: Option<f64>, target: Target) -> Row {
        Row {
            figure: "reads, all of them".to_owned(),
            milepost,
            limit: ratio.map(|ratio| milepost / ratio),
            ratio,
            target,
        }
    }

    #[test]
    fn a_target_is_met_on_its_own_side_only() {
        let met = |ratio, target| row(10.0, Some(ratio), target).is_met();
        assert_eq!(met(0.85, Target::AtLeast(0.85)), Some(true));
        assert_eq!(met(0.84, Target::AtLeast(0.85)), Some(false));
        assert_eq!(met(1.5, Target::AtMost(1.5)), Some(true));
        assert_eq!(met(1.6, Target::AtMost(1.5)), Some(false));
        assert_eq!(met(9.0, Target::Within(10.0)), Some(true));
        assert_eq!(met(9.0, Target::Within(9.9)), Some(false));
        assert_eq!(met(9.0, Target::Shown), None);
        let without = row(1.0, None, Target::AtLeast(0.5));
        assert_eq!(without.is_met(), Some(false), "nothing was compared");
    }

    #[test]
    fn the_table_is_written_for_documents_and_for_programs() {
        let table = Table {
            rows: vec![
                row(1234.5, Some(0.5), Target::AtLeast(0.85)),
                row(0.25, None, Target::Within(5.0)),
            ],
        };
        assert_eq!(
            table.markdown(),
            "| figure | milepost | limit | ratio | target | met |\n\
             |---|---:|---:|---:|---|---|\n\
             | reads, all of them | 1234 | 2469 | 0.50 | >= 0.85 x | NOT met |\n\
             | reads, all of them | 0.250 |  |  | <= 5 | met |\n"
        );
        assert_eq!(
            table.csv(&["cores: 2".to_owned()]),
            "# cores: 2\n\
             figure,milepost,limit,ratio,target,met\n\
             \"reads, all of them\",1234.5,2469,0.5,>= 0.85 x,NOT met\n\
             \"reads, all of them\",0.25,,,<= 5,met\n"
        );
    }
}
