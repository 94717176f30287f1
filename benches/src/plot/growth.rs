//! Each figure over the number of processes in the file, milepost beside the hand-written store.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::scale::{Scale, short};
use super::{BLUE, GREY, PALE, TYPE, Trouble, VERMILION, ink, text};

const COLUMNS: usize = 3;
const PANEL: (u32, u32) = (320, 230);
const HEAD: i32 = 44;

/// One figure at one size of the file: a row of `<date>-growth.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a row, field by field")]
pub struct Growth {
    /// What was measured.
    pub figure: String,
    /// What it is counted in.
    pub unit: String,
    /// How many processes were in the file.
    pub processes: u64,
    /// Milepost's figure.
    pub milepost: f64,
    /// The hand-written store's, if it has such a thing.
    pub by_hand: Option<f64>,
}

/// Draws a panel for each figure, in the order in which they first come.
pub fn growth(rows: &[Growth]) -> Result<String, Trouble> {
    let panels = panels(rows);
    let lines = u32::try_from(panels.len().div_ceil(COLUMNS))?;
    let size = (
        PANEL.0 * u32::try_from(COLUMNS)?,
        PANEL.1 * lines + HEAD.unsigned_abs(),
    );
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let (head, body) = area.split_vertically(HEAD);
        legend(&head)?;
        let areas = body.split_evenly((usize::try_from(lines)?, COLUMNS));
        for (panel, area) in panels.iter().zip(&areas) {
            draw(panel, area)?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The rows of one figure.
fn panels(rows: &[Growth]) -> Vec<Vec<&Growth>> {
    let mut panels: Vec<Vec<&Growth>> = Vec::new();
    for row in rows {
        match panels
            .iter_mut()
            .find(|panel| panel[0].figure == row.figure)
        {
            Some(panel) => panel.push(row),
            None => panels.push(vec![row]),
        }
    }
    for panel in &mut panels {
        panel.sort_by_key(|row| row.processes);
    }
    panels
}

fn legend(area: &Area<'_>) -> Result<(), Trouble> {
    let middle = HEAD / 2;
    for (left, name, color) in [(16, "milepost", BLUE), (140, "by hand", VERMILION)] {
        let line = [(left, middle), (left + 32, middle)];
        area.draw(&PathElement::new(line, color.stroke_width(2)))?;
        area.draw(&Text::new(name, (left + 40, middle - TYPE / 2), ink(TYPE)))?;
    }
    area.draw(&disc((32, middle)))?;
    area.draw(&triangle((156, middle)))?;
    let axis = "over the number of processes in the file";
    area.draw(&Text::new(axis, (268, middle - TYPE / 2), text(GREY, TYPE)))?;
    Ok(())
}

/// Milepost's mark.
fn disc<C>(at: C) -> Circle<C, i32> {
    Circle::new(at, 4, BLUE.filled())
}

/// The other's: of another shape, so that no line needs its colour.
fn triangle<C>(at: C) -> TriangleMarker<C, i32> {
    TriangleMarker::new(at, 6, VERMILION.filled())
}

#[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
fn draw(panel: &[&Growth], area: &Area<'_>) -> Result<(), Trouble> {
    let sizes = panel
        .iter()
        .map(|row| row.processes as f64)
        .collect::<Vec<_>>();
    let ours = panel.iter().map(|row| Some(row.milepost));
    let figures = ours
        .chain(panel.iter().map(|row| row.by_hand))
        .flatten()
        .collect::<Vec<_>>();
    let title = format!("{}, {}", panel[0].figure, panel[0].unit);
    area.draw(&Text::new(title, (14, 8), ink(TYPE)))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(34)
        .margin_right(14)
        .margin_left(4)
        .margin_bottom(6)
        .x_label_area_size(24)
        .y_label_area_size(60)
        .build_cartesian_2d(
            // A little room beside the outermost sizes, so that their marks are whole.
            Axis::over(&sizes, Scale::Log, 0.08),
            Axis::over(&figures, Scale::of(&figures), 0.0),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE)
        .axis_style(GREY)
        .label_style(ink(TYPE - 2))
        .draw()?;
    let by_hand = |row: &&Growth| Some((row.processes as f64, row.by_hand?));
    let ours = |row: &&Growth| (row.processes as f64, row.milepost);
    let points = panel.iter().filter_map(by_hand);
    chart.draw_series(LineSeries::new(points.clone(), VERMILION.stroke_width(2)))?;
    chart.draw_series(points.map(triangle))?;
    let points = panel.iter().map(ours);
    chart.draw_series(LineSeries::new(points.clone(), BLUE.stroke_width(2)))?;
    chart.draw_series(points.map(disc))?;
    Ok(())
}

/// An axis of a drawing.
struct Axis {
    scale: Scale,
    ticks: Vec<f64>,
    /// How far it goes on beyond its first and last tick, in the scale's places.
    room: f64,
}

impl Axis {
    fn over(values: &[f64], scale: Scale, room: f64) -> Self {
        Axis {
            ticks: scale.ticks(values),
            scale,
            room,
        }
    }

    fn ends(&self) -> (f64, f64) {
        let last = self.ticks[self.ticks.len() - 1];
        (self.ticks[0] - self.room, last + self.room)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a pixel between two others"
    )]
    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let (low, high) = self.ends();
        let share = (self.scale.place(*value) - low) / (high - low);
        pixels.0 + (share * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let value = |place: &f64| self.scale.value(*place);
        self.ticks.iter().map(value).collect()
    }

    fn range(&self) -> Range<f64> {
        let (low, high) = self.ends();
        self.scale.value(low)..self.scale.value(high)
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        short(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: &str, processes: u64) -> Growth {
        Growth {
            figure: figure.to_owned(),
            unit: "ms".to_owned(),
            processes,
            milepost: 1.0,
            by_hand: None,
        }
    }

    #[test]
    fn a_panel_holds_one_figure_by_size_in_the_order_of_the_file() {
        let rows = [row("b", 20), row("a", 20), row("b", 10)];
        let panels = panels(&rows);
        let names = panels.iter().map(|panel| panel[0].figure.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["b", "a"]);
        let sizes = panels[0].iter().map(|row| row.processes);
        assert_eq!(sizes.collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn each_figure_has_its_title_and_a_mark_for_each_size() {
        let svg = growth(&[row("opening", 10), row("opening", 20), row("counting", 10)]).unwrap();
        assert!(svg.contains("opening, ms") && svg.contains("counting, ms"));
        // One more is in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 + 1);
    }
}
