//! The in-memory store keeps the whole contract.

use milepost_conformance::Subject;
use milepost_memory::MemoryStore;

milepost_conformance::laws!(Subject::new(MemoryStore::new));
