//! Words for people: how times, durations and what hosts wrote stand in a line of text.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// One line is one line, whatever a host writes into its reasons and messages.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(breaks, " ")
}

/// A host's own words without breaks and runs of blanks, cut to about `bytes` and then saying so.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || breaks(c));
    let words = words.filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let line = words.join(" ");
    if line.len() <= bytes {
        return line;
    }
    let kept = &line[..line.floor_char_boundary(bytes)];
    format!("{kept} .. [cut, {} bytes in all]", text.len())
}

/// Whether a character ends a line, steers a terminal, or turns the text after it around.
fn breaks(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long something took: `0.3 s`, `2 min 03 s`, `5 h 07 min`; never less than nothing.
pub(crate) fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let span = (to - from).max(TimeDelta::zero());
    let (tenths, seconds) = (span.num_milliseconds() / 100, span.num_seconds());
    match seconds {
        0..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => whole_seconds(seconds.unsigned_abs()),
    }
}

/// How long something takes, less exactly: `3 s`, `2 min 03 s`, `5 h 07 min`.
pub(crate) fn whole_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time to the second: `2026-05-18T09:30:00Z`.
pub(crate) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
