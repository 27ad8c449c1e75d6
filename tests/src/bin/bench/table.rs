//! Samples, medians, and the one table in which everything ends.

use std::fmt;

/// One turn of one contestant.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Server CPU for each operation, in microseconds.
    pub(crate) cpu: f64,
    /// Operations each second.
    pub(crate) rate: f64,
    /// Half of the operations took at most this long, in milliseconds; 0 where nobody looked.
    pub(crate) p50: f64,
    /// 99 of 100 took at most this long, in milliseconds.
    pub(crate) p99: f64,
}

/// What is wanted of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    /// Smaller is better.
    AtMost(f64),
    /// Larger is better.
    AtLeast(f64),
    /// Only told.
    None,
}

/// A median and what lay around it.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let median = |values: &[f64]| match values.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => values[count / 2],
            count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        };
        let least = values.first().copied().unwrap_or(f64::NAN);
        Self { median: median(&values), least, most: values.last().copied().unwrap_or(f64::NAN) }
    }

    /// The value in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.median
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median.abs() >= 1000.0 {
            0
        } else if self.median.abs() >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.least, self.most)
    }
}

struct Row {
    part: &'static str,
    what: String,
    ours: String,
    theirs: String,
    figure: Spread,
    unit: &'static str,
    aim: Aim,
}

/// The rows so far.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// A figure that stands in comparison: the median of the rounds' ratios.
    pub(crate) fn ratio(&mut self, part: &'static str, what: &str, ours: &[f64], theirs: (&str, &[f64]), aim: Aim) {
        let figure = Spread::of(ours.iter().zip(theirs.1).map(|(ours, theirs)| ours / theirs));
        let row = Row {
            part,
            what: what.to_owned(),
            ours: Spread::of(ours.iter().copied()).to_string(),
            theirs: format!("{} {}", theirs.0, Spread::of(theirs.1.iter().copied())),
            figure,
            unit: "x",
            aim,
        };
        self.add(row);
    }

    /// A figure that stands alone.
    pub(crate) fn figure(&mut self, part: &'static str, what: &str, values: &[f64], unit: &'static str, aim: Aim) {
        let figure = Spread::of(values.iter().copied());
        let row =
            Row { part, what: what.to_owned(), ours: figure.to_string(), theirs: String::new(), figure, unit, aim };
        self.add(row);
    }

    fn add(&mut self, row: Row) {
        println!("  {row}");
        self.0.push(row);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (aim, verdict) = match self.aim {
            Aim::None => (String::new(), ""),
            Aim::AtMost(most) => (format!("<= {most}"), if self.figure.median <= most { "met" } else { "SHORT" }),
            Aim::AtLeast(least) => (format!(">= {least}"), if self.figure.median >= least { "met" } else { "SHORT" }),
        };
        let figure = format!("{} {}", self.figure, self.unit);
        write!(
            f,
            "{:2} {:46} {:>22} {:>32} {:>24} {:>9} {verdict}",
            self.part, self.what, self.ours, self.theirs, figure, aim
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ("", "what, median (least-most)", "nicgate", "against", "figure", "aim");
        writeln!(f, "{:2} {:46} {:>22} {:>32} {:>24} {:>9}", head.0, head.1, head.2, head.3, head.4, head.5)?;
        for row in &self.0 {
            writeln!(f, "{row}")?;
        }
        Ok(())
    }
}

/// One field of all samples.
pub(crate) fn each(samples: &[Sample], field: fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(field).collect()
}
