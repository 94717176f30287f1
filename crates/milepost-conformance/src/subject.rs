//! What is on trial: how to get an empty store, and how to open it again.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use milepost_core::StatusStore;

/// A kind of store on trial: makes a new, empty one for each law.
///
/// ```
/// # use milepost_core::StatusStore;
/// # fn prove<S: StatusStore>(new_store: fn() -> S) {
/// use milepost_conformance::Subject;
///
/// let subject = Subject::new(new_store);
/// # }
/// ```
pub struct Subject {
    home: Box<dyn Fn() -> (Open, Option<Directory>) + Send + Sync>,
    lasting: Lasting,
}

/// Opens a store value on one home.
type Open = Box<dyn Fn() -> Arc<dyn StatusStore> + Send + Sync>;

/// Keeps a directory, and says where it is.
type Directory = Arc<dyn AsRef<Path> + Send + Sync>;

/// What outlives a store value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// Nothing: the records live in the value.
    Nothing,
    /// The records, which one value at a time may open.
    Exclusive,
    /// The records, which many values may open at once.
    Shared,
}

impl Subject {
    /// A store whose records live and die with it: each call of `new_store` makes an empty one.
    pub fn new<S: StatusStore>(new_store: impl Fn() -> S + Send + Sync + 'static) -> Self {
        let home = move || {
            let store: Arc<dyn StatusStore> = Arc::new(new_store());
            let open: Open = Box::new(move || Arc::clone(&store));
            (open, None)
        };
        Subject {
            home: Box::new(home),
            lasting: Lasting::Nothing,
        }
    }

    /// A store whose records outlive it: each call of `new_home` makes an empty place, and answers what
    /// opens a store there, again and again.
    ///
    /// The kit reopens it between the steps of every law, and opens two values at once on the same
    /// records. What the place needs to exist, a temporary directory for instance, is owned by the
    /// function that opens; it is dropped when the law is done, after every store.
    ///
    /// ```
    /// # use milepost_core::{StatusStore, StoreError};
    /// # use std::path::{Path, PathBuf};
    /// # fn prove<S: StatusStore, D: AsRef<Path> + Send + Sync + 'static>(
    /// #     temporary_directory: fn() -> D,
    /// #     open: fn(PathBuf) -> Result<S, StoreError>,
    /// # ) {
    /// use milepost_conformance::Subject;
    ///
    /// let subject = Subject::durable(move || {
    ///     let directory = temporary_directory();
    ///     move || open(directory.as_ref().join("status.db")).expect("it opens")
    /// });
    /// # }
    /// ```
    pub fn durable<S, O>(new_home: impl Fn() -> O + Send + Sync + 'static) -> Self
    where
        S: StatusStore,
        O: Fn() -> S + Send + Sync + 'static,
    {
        let home = move || {
            let open = new_home();
            let open: Open = Box::new(move || Arc::new(open()));
            (open, None)
        };
        Subject {
            home: Box::new(home),
            lasting: Lasting::Shared,
        }
    }

    /// A store that keeps all its files in one directory: each call of `new_directory` makes an empty one,
    /// and `open` opens a store in it.
    ///
    /// Does what [`durable`](Subject::durable) does. In addition the kit looks into every file of the
    /// directory, while no store is open, for bytes that a wipe has left.
    ///
    /// ```
    /// # use milepost_core::{StatusStore, StoreError};
    /// # use std::path::{Path, PathBuf};
    /// # fn prove<S: StatusStore>(open: fn(PathBuf) -> Result<S, StoreError>) {
    /// use milepost_conformance::Subject;
    ///
    /// let subject = Subject::in_directory(
    ///     || tempfile::tempdir().expect("there is room"),
    ///     move |directory| open(directory.join("status.db")).expect("it opens"),
    /// );
    /// # }
    /// ```
    pub fn in_directory<S, D>(
        new_directory: impl Fn() -> D + Send + Sync + 'static,
        open: impl Fn(&Path) -> S + Send + Sync + 'static,
    ) -> Self
    where
        S: StatusStore,
        D: AsRef<Path> + Send + Sync + 'static,
    {
        let open = Arc::new(open);
        let home = move || {
            let directory: Directory = Arc::new(new_directory());
            let (place, open) = (Arc::clone(&directory), Arc::clone(&open));
            let open: Open = Box::new(move || Arc::new(open((*place).as_ref())));
            (open, Some(directory))
        };
        Subject {
            home: Box::new(home),
            lasting: Lasting::Shared,
        }
    }

    /// The same store, of which only one value at a time may be open on the same records.
    #[must_use]
    pub fn exclusive(self) -> Self {
        let lasting = match self.lasting {
            Lasting::Nothing => Lasting::Nothing,
            Lasting::Exclusive | Lasting::Shared => Lasting::Exclusive,
        };
        Subject { lasting, ..self }
    }

    pub(crate) fn home(&self) -> Home {
        let (open, directory) = (self.home)();
        Home {
            open,
            directory,
            lasting: self.lasting,
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}

/// The place where one law keeps its processes.
pub(crate) struct Home {
    open: Open,
    directory: Option<Directory>,
    lasting: Lasting,
}

impl Home {
    pub(crate) fn open(&self) -> Arc<dyn StatusStore> {
        (self.open)()
    }

    /// Whether a store value can be dropped without losing the records.
    pub(crate) fn outlives_its_stores(&self) -> bool {
        self.lasting != Lasting::Nothing
    }

    /// The directory in which all files of the store are, where that is known.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory
            .as_ref()
            .map(|directory| (**directory).as_ref())
    }

    /// Another store value on the same records, or the given one where there cannot be another.
    pub(crate) fn open_beside(&self, store: &Arc<dyn StatusStore>) -> Arc<dyn StatusStore> {
        match self.lasting {
            Lasting::Shared => self.open(),
            Lasting::Nothing | Lasting::Exclusive => Arc::clone(store),
        }
    }
}
