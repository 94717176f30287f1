//! How figures stand to their targets: a bar for each, and a mark where its target lies.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::Deserialize;

use super::scale::short;
use super::{BLUE, GREY, PALE, TYPE, Trouble, VERMILION, bold, ink, text};

const WIDTH: i32 = 960;
const LINE: i32 = 24;
/// Where bars begin and end; the figure's name is before, its numbers behind.
const BARS: (i32, i32) = (440, 740);
/// Bars end here, whatever their value, so that one that is far ahead does not flatten the others.
const LONGEST: f64 = 2.0;

/// One figure: a row of `<date>-figures.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a row, field by field")]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// Milepost's figure.
    pub milepost: f64,
    /// Milepost's by the hand-written code's, if there is such a thing.
    pub ratio: Option<f64>,
    /// `>= 0.85 x` or `<= 1.5 x` of the hand-written code's, or `<= 400` whatever that does. Empty: none.
    pub target: String,
    /// Empty if there is no target.
    pub met: String,
}

/// What a bar shows.
#[derive(Debug, PartialEq)]
struct Bar<'a> {
    name: &'a str,
    length: f64,
    mark: f64,
    /// What is written behind it.
    words: String,
    is_met: bool,
}

/// A part of the drawing, with a scale of its own.
struct Part<'a> {
    title: &'static str,
    bars: Vec<Bar<'a>>,
}

/// Draws a bar for each figure that has a target; the others are left to the table.
pub fn targets(figures: &[Figure]) -> Result<String, Trouble> {
    let (mut ratios, mut shares) = (Vec::new(), Vec::new());
    for figure in figures.iter().filter(|figure| !figure.target.is_empty()) {
        let (bar, is_ratio) = bar(figure)?;
        let part = if is_ratio { &mut ratios } else { &mut shares };
        part.push(bar);
    }
    let parts = [
        Part {
            title: "milepost by the hand-written code (1 = as much)",
            bars: ratios,
        },
        Part {
            title: "milepost by what is allowed (1 = all of it)",
            bars: shares,
        },
    ];
    let parts = parts.into_iter().filter(|part| !part.bars.is_empty());
    draw(&parts.collect::<Vec<_>>())
}

/// The bar of a figure that has a target, and whether it is one of a ratio.
fn bar(figure: &Figure) -> Result<(Bar<'_>, bool), Trouble> {
    let unreadable = || format!("the target of {:?} is {:?}", figure.figure, figure.target);
    let mut words = figure.target.split_whitespace();
    let (sign, number) = (words.next(), words.next().ok_or_else(unreadable)?);
    let at = match sign {
        Some(">=") => "at least",
        Some("<=") => "at most",
        _ => return Err(unreadable().into()),
    };
    let target = number.parse::<f64>().map_err(|_| unreadable())?;
    let is_ratio = words.next() == Some("x");
    let value = if is_ratio {
        figure.ratio.unwrap_or(0.0)
    } else {
        figure.milepost
    };
    let scale = if is_ratio { 1.0 } else { target };
    let bar = Bar {
        name: &figure.figure,
        length: value / scale,
        mark: target / scale,
        words: format!("{}, {at} {}", short(value), short(target)),
        is_met: figure.met == "met",
    };
    Ok((bar, is_ratio))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(parts: &[Part<'_>]) -> Result<String, Trouble> {
    let bars = parts.iter().map(|part| part.bars.len()).sum::<usize>();
    let lines = i32::try_from(bars + 3 * parts.len() + 2)?;
    let size = (WIDTH.unsigned_abs(), (lines * LINE).unsigned_abs());
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        legend(&area)?;
        let mut top = 2 * LINE;
        for part in parts {
            draw_part(&area, part, top)?;
            top += LINE * i32::try_from(part.bars.len() + 3)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn legend(area: &Area<'_>) -> Result<(), Trouble> {
    let (top, middle) = (LINE / 2 - 6, LINE / 2);
    for (left, name, is_met) in [(16, "target met", true), (150, "target not met", false)] {
        block(area, (left, top), (left + 28, top + 12), is_met)?;
        words(area, name, (left + 36, middle), HPos::Left, &ink(TYPE))?;
    }
    mark(area, 320, middle)?;
    words(area, "the target", (332, middle), HPos::Left, &ink(TYPE))
}

fn draw_part(area: &Area<'_>, part: &Part<'_>, top: i32) -> Result<(), Trouble> {
    let longest = part
        .bars
        .iter()
        .flat_map(|bar| [bar.length, bar.mark])
        .fold(1.0, f64::max)
        .min(LONGEST);
    let bottom = top + LINE * i32::try_from(part.bars.len() + 1)?;
    words(
        area,
        part.title,
        (16, top + LINE / 2),
        HPos::Left,
        &bold(TYPE),
    )?;
    for half in 0..=4 {
        let value = f64::from(half) / 2.0;
        if value <= longest {
            let x = place(value, longest);
            area.draw(&PathElement::new([(x, top + LINE), (x, bottom)], PALE))?;
            let label = short(value);
            words(
                area,
                &label,
                (x, bottom + LINE / 2),
                HPos::Center,
                &text(GREY, TYPE - 2),
            )?;
        }
    }
    for (line, bar) in part.bars.iter().enumerate() {
        let middle = top + LINE * i32::try_from(line + 1)? + LINE / 2;
        draw_bar(area, bar, middle, longest)?;
    }
    Ok(())
}

fn draw_bar(area: &Area<'_>, bar: &Bar<'_>, middle: i32, longest: f64) -> Result<(), Trouble> {
    let end = place(bar.length, longest);
    words(
        area,
        bar.name,
        (BARS.0 - 10, middle),
        HPos::Right,
        &ink(TYPE - 1),
    )?;
    block(area, (BARS.0, middle - 7), (end, middle + 7), bar.is_met)?;
    if bar.length > longest {
        // Cut off: it goes on.
        words(
            area,
            "\u{203a}",
            (end + 2, middle - 1),
            HPos::Left,
            &ink(TYPE + 4),
        )?;
    }
    if bar.mark <= longest {
        mark(area, place(bar.mark, longest), middle)?;
    }
    let behind = (BARS.1 + 22, middle);
    words(area, &bar.words, behind, HPos::Left, &ink(TYPE - 1))
}

/// Filled if the target is met, else an outline with stripes: told apart without their colours too.
fn block(area: &Area<'_>, from: (i32, i32), to: (i32, i32), is_met: bool) -> Result<(), Trouble> {
    if is_met {
        area.draw(&Rectangle::new([from, to], BLUE.filled()))?;
        return Ok(());
    }
    let stroke = VERMILION.stroke_width(2);
    for x in (from.0 + 6..to.0).step_by(6) {
        area.draw(&PathElement::new([(x, from.1), (x, to.1)], stroke))?;
    }
    area.draw(&Rectangle::new([from, to], stroke))?;
    Ok(())
}

fn mark(area: &Area<'_>, x: i32, middle: i32) -> Result<(), Trouble> {
    // White beside it, so that it is seen on a bar.
    for (width, color) in [(7, WHITE), (3, BLACK)] {
        let line = [(x, middle - 10), (x, middle + 10)];
        area.draw(&PathElement::new(line, color.stroke_width(width)))?;
    }
    Ok(())
}

fn words(
    area: &Area<'_>,
    words: &str,
    at: (i32, i32),
    side: HPos,
    style: &TextStyle<'_>,
) -> Result<(), Trouble> {
    let style = style.clone().pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(words, at, style))?;
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a place between two others"
)]
fn place(value: f64, longest: f64) -> i32 {
    let share = (value / longest).clamp(0.0, 1.0);
    BARS.0 + (f64::from(BARS.1 - BARS.0) * share).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(milepost: f64, ratio: Option<f64>, target: &str, met: &str) -> Figure {
        Figure {
            figure: "reads".to_owned(),
            milepost,
            ratio,
            target: target.to_owned(),
            met: met.to_owned(),
        }
    }

    #[test]
    fn a_ratio_is_shown_as_it_is_and_a_bound_as_a_share_of_it() {
        let slow = figure(80.0, Some(0.8), ">= 0.85 x", "NOT met");
        let (shown, is_ratio) = bar(&slow).unwrap();
        assert!(is_ratio && !shown.is_met);
        assert_eq!((shown.length, shown.mark), (0.8, 0.85));
        assert_eq!(shown.words, "0.8, at least 0.85");
        let small = figure(300.0, Some(0.9), "<= 400", "met");
        let (shown, is_ratio) = bar(&small).unwrap();
        assert!(!is_ratio && shown.is_met);
        assert_eq!((shown.length, shown.mark), (0.75, 1.0));
        assert_eq!(shown.words, "300, at most 400");
    }

    #[test]
    fn a_target_that_cannot_be_read_is_refused_and_none_is_left_out() {
        for target in ["0.85", ">= x", "> 0.85 x"] {
            assert!(
                targets(&[figure(1.0, None, target, "met")]).is_err(),
                "{target}"
            );
        }
        let svg = targets(&[
            figure(1.0, Some(1.0), ">= 0.85 x", "met"),
            figure(1.0, None, "", ""),
        ]);
        assert_eq!(svg.unwrap().matches("reads").count(), 1);
    }

    #[test]
    fn bars_keep_within_their_column() {
        assert_eq!(place(0.0, 2.0), BARS.0);
        assert_eq!(place(9.0, 2.0), BARS.1);
        assert_eq!(place(1.0, 2.0), i32::midpoint(BARS.0, BARS.1));
    }
}
