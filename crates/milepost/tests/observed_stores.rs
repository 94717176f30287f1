//! A store that is looked at keeps the whole contract.

use milepost::{MemoryStore, Metered, Traced};
use milepost_conformance::Subject;

milepost_conformance::laws!(Subject::new(|| Traced::new(Metered::new(
    MemoryStore::new()
))));
