//! Figures as SVG, for the README: how they grow with the file, and how they stand to their targets.
//!
//! Both read the files in `benches/results/`: CSV with a header, and comments in lines that begin with `#`.
//! The colours are told apart by colour-blind people too (Okabe and Ito's blue and vermilion), and never carry
//! a meaning alone.

mod growth;
mod scale;
mod targets;

pub use growth::{Growth, growth};
pub use targets::{Figure, targets};

use std::error::Error;

use plotters::style::{BLACK, Color, FontDesc, FontFamily, FontStyle, RGBColor, TextStyle};
use serde::de::DeserializeOwned;

/// Why nothing was drawn.
pub type Trouble = Box<dyn Error>;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(222, 222, 222);

/// The size of most of the type, in pixels of a drawing that a README shows at its full width.
const TYPE: i32 = 17;

/// The rows of a file of figures; comments are left out.
pub fn rows<R: DeserializeOwned>(csv: &str) -> Result<Vec<R>, Trouble> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(csv.as_bytes());
    let rows = reader.deserialize().collect::<Result<Vec<R>, _>>()?;
    if rows.is_empty() {
        return Err("there are no figures in it".into());
    }
    Ok(rows)
}

fn text(color: RGBColor, size: i32) -> TextStyle<'static> {
    styled(FontStyle::Normal, color, size)
}

fn ink(size: i32) -> TextStyle<'static> {
    text(BLACK, size)
}

fn bold(size: i32) -> TextStyle<'static> {
    styled(FontStyle::Bold, BLACK, size)
}

fn styled(style: FontStyle, color: RGBColor, size: i32) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), style);
    TextStyle {
        color: color.to_backend_color(),
        ..TextStyle::from(font)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_are_left_out_and_an_empty_file_is_refused() {
        let csv = "# 2 cores\nfigure,unit,processes,milepost,by_hand\nopen,ms,10,1.5,\n # not a comment,s,20,2,3\n";
        let rows = rows::<Growth>(csv).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].figure.as_str(), rows[0].by_hand), ("open", None));
        assert_eq!((rows[1].milepost, rows[1].by_hand), (2.0, Some(3.0)));
        assert!(super::rows::<Growth>("figure,unit,processes,milepost,by_hand\n").is_err());
    }

    #[test]
    fn a_row_that_is_no_figure_is_refused() {
        let csv = "figure,unit,processes,milepost,by_hand\nopen,ms,many,1.5,\n";
        assert!(rows::<Growth>(csv).is_err());
    }
}
