//! What the user gets to read when something is wrong: one sentence, and its causes.

use std::error::Error;
use std::fmt;

/// A sentence for the user, and what caused it.
#[derive(Debug)]
pub(crate) struct Trouble {
    sentence: String,
    cause: Option<Box<dyn Error>>,
}

impl Trouble {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Trouble {
            sentence: sentence.into(),
            cause: None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref()
    }
}

/// Says what could not be done, in front of why.
pub(crate) trait Context<T> {
    fn context(self, sentence: String) -> Result<T, Trouble>;
}

impl<T, E: Error + 'static> Context<T> for Result<T, E> {
    fn context(self, sentence: String) -> Result<T, Trouble> {
        self.map_err(|cause| Trouble {
            sentence,
            cause: Some(Box::new(cause)),
        })
    }
}

/// Prints an error and all that caused it to stderr.
pub(crate) fn print(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
