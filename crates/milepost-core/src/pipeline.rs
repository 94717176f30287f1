//! The chain of modules that a process goes through.

use std::fmt;
use std::sync::Arc;

use crate::invalid::{Field, Invalid};
use crate::limits;
use crate::module::Details;

/// A name and a non-empty chain of modules; names may repeat in a chain.
///
/// Cheap to clone: clones share the names.
///
/// # Limits
///
/// 1 to 256 modules; names of 1 to 128 bytes without control characters.
///
/// # Examples
///
/// ```
/// use milepost_core::Pipeline;
///
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?;
/// assert_eq!(pipeline.modules().collect::<Vec<_>>(), ["ocr", "parser", "keyword-db"]);
/// assert!(Pipeline::new("nothing", [""; 0]).is_err());
/// # Ok::<(), milepost_core::Invalid>(())
/// ```
#[derive(Clone, Eq)]
pub struct Pipeline {
    chain: Arc<Chain>,
}

/// All names stand in one text.
#[derive(Clone)]
struct Chain {
    /// The pipeline's name, then those of the modules.
    names: Arc<str>,
    /// Where each name ends, the pipeline's first.
    ends: Box<[u32]>,
    parallel: bool,
    /// What there is to tell of each module before it begins: shared by all processes.
    fresh: Box<[Arc<Details>]>,
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        // The rest follows from these.
        self.parallel == other.parallel && self.ends == other.ends && self.names == other.names
    }
}

impl Eq for Chain {}

impl Pipeline {
    /// A sequential pipeline: each module waits for those before it.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for an empty chain, over 256 modules, or a name that is empty, too long or holds
    /// control characters.
    ///
    /// # Panics
    ///
    /// Never: what could overflow is bounded by the limits.
    pub fn new<M: AsRef<str>>(
        name: impl AsRef<str>,
        modules: impl IntoIterator<Item = M>,
    ) -> Result<Self, Invalid> {
        let mut names = String::new();
        let mut ends = Vec::with_capacity(8);
        let mut push = |field: Field, text: &str| {
            field.check(text)?;
            names.push_str(text);
            // 257 names of 128 bytes each are far below 4 GiB.
            ends.push(u32::try_from(names.len()).expect("names are bounded"));
            Ok(())
        };
        push(Field::PipelineName, name.as_ref())?;
        for (index, module) in modules.into_iter().enumerate() {
            if index == limits::MODULES {
                return Err(Invalid::TooManyModules);
            }
            push(Field::ModuleName, module.as_ref())?;
        }
        if ends.len() == 1 {
            return Err(Invalid::EmptyChain);
        }
        let names = Arc::from(names);
        let fresh = (0..).zip(ends.windows(2)).map(|(index, ends)| {
            let name = (ends[0], ends[1]);
            Arc::new(Details::fresh(index, &names, name))
        });
        let chain = Chain {
            fresh: fresh.collect(),
            names,
            ends: ends.into(),
            parallel: false,
        };
        Ok(Pipeline {
            chain: Arc::new(chain),
        })
    }

    /// The same chain, whose modules may run in any order and side by side.
    #[must_use]
    pub fn parallel(mut self) -> Self {
        Arc::make_mut(&mut self.chain).parallel = true;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.part(0)
    }

    /// Whether its modules may run in any order.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.chain.parallel
    }

    /// How many modules it has: 1 to 256.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a pipeline is never empty")]
    pub fn len(&self) -> usize {
        self.chain.ends.len() - 1
    }

    /// The names of its modules, in chain order.
    #[must_use]
    pub fn modules(&self) -> impl ExactSizeIterator<Item = &str> {
        (1..self.chain.ends.len()).map(|index| self.part(index))
    }

    /// The name of the module at `index`, which counts from 0.
    pub(crate) fn module(&self, index: usize) -> &str {
        self.part(index + 1)
    }

    pub(crate) fn fresh_details(&self, index: usize) -> &Arc<Details> {
        &self.chain.fresh[index]
    }

    /// Whether this is the chain of a pipeline by this name, of modules whose names stand one after the other
    /// in `modules`, and are as long as `lengths` says.
    pub(crate) fn is(&self, name: &str, lengths: &[u8], modules: &str, is_parallel: bool) -> bool {
        self.len() == lengths.len()
            && self.chain.parallel == is_parallel
            && self.module_names() == modules
            && self.name() == name
            && self.module_lengths().eq(lengths.iter().copied())
    }

    /// How long the names of its modules are, each at most 128 bytes.
    pub(crate) fn module_lengths(&self) -> impl ExactSizeIterator<Item = u8> {
        let ends = self.chain.ends.windows(2);
        ends.map(|ends| u8::try_from(ends[1] - ends[0]).expect("names are bounded"))
    }

    /// The names of its modules, one after the other.
    pub(crate) fn module_names(&self) -> &str {
        &self.chain.names[self.chain.ends[0] as usize..]
    }

    /// Turns a position, which counts from 1, into an index, which counts from 0.
    pub(crate) fn index_of(&self, position: usize) -> Result<usize, Invalid> {
        match position.checked_sub(1) {
            Some(index) if index < self.len() => Ok(index),
            _ => Err(Invalid::NoSuchModule {
                position,
                modules: self.len(),
            }),
        }
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.chain.names.len()
    }

    fn part(&self, index: usize) -> &str {
        let ends = &self.chain.ends;
        let from = if index == 0 { 0 } else { ends[index - 1] };
        &self.chain.names[from as usize..ends[index] as usize]
    }
}

impl PartialEq for Pipeline {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chain, &other.chain) || self.chain == other.chain
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name())
            .field("modules", &self.modules().collect::<Vec<_>>())
            .field("parallel", &self.is_parallel())
            .finish()
    }
}
