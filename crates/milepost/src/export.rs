//! Processes as JSON lines.

use std::io::{self, Write};

use milepost_core::{Query, TrackError, Tracker};

/// Writes processes out, for archives and for other programs.
///
/// # Examples
///
/// ```
/// # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
/// use milepost::{Export, Process, Query};
///
/// # let tracker = Tracker::new(MemoryStore::new());
/// # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// # tracker.begin(NewProcess::new(&pipeline))?;
/// let mut lines = Vec::new();
/// let exported = tracker.export(&Query::new().pipeline("invoice-ocr"), &mut lines)?;
/// assert_eq!(exported, 1);
///
/// for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
///     let process: Process = serde_json::from_slice(line)?;
///     println!("{} {}", process.request_id(), process.status());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Export {
    /// Writes each process that a query asks for as one line of JSON, in the order of the query, and answers how many.
    ///
    /// A line is the whole record: its schema is [`schema::PROCESS`](milepost_core::schema::PROCESS). What has expired is
    /// left out, as from every list. The processes come page by page, so that memory is bounded whatever their number;
    /// a [`limit`](Query::limit) is how many a page has. A process that matches throughout is there once, as it stood when
    /// its page was read; what begins or changes meanwhile may be missed.
    ///
    /// What is written out is the host's from then on: no erasure reaches it. [`import`](crate::Import::import) takes it in,
    /// here or in another store.
    ///
    /// # Errors
    ///
    /// Of the store, or of the writer: what was written until then is whole lines, but for the last.
    fn export(&self, query: &Query, writer: impl Write) -> Result<u64, ExportError>;
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The processes could not be read.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// They could not be written.
    #[error("the export cannot be written: make room, or see who reads it, and export again")]
    Write(#[source] io::Error),
}

impl Export for Tracker {
    fn export(&self, query: &Query, mut writer: impl Write) -> Result<u64, ExportError> {
        let mut exported = 0;
        let mut next = None;
        loop {
            let query = query.clone();
            let page = match next {
                Some(next) => self.list(&query.after(next))?,
                None => self.list(&query)?,
            };
            for process in &page.items {
                // A record has a JSON form, so that it is the writer if anything fails.
                serde_json::to_writer(&mut writer, &**process)
                    .map_err(io::Error::from)
                    .and_then(|()| writer.write_all(b"\n"))
                    .map_err(ExportError::Write)?;
                exported += 1;
            }
            next = page.next;
            if next.is_none() {
                writer.flush().map_err(ExportError::Write)?;
                return Ok(exported);
            }
        }
    }
}
