//! The reference store keeps every law: in memory, and as if it were a file that is opened and closed.

#[path = "stores/honest.rs"]
mod honest;

#[path = "stores/filed.rs"]
mod filed;

use filed::Filed;
use honest::Honest;
use milepost_conformance::Subject;

mod in_memory {
    use super::*;

    milepost_conformance::laws!(Subject::new(Honest::new));
}

mod reopened {
    use super::*;

    milepost_conformance::laws!(Subject::durable(|| {
        let records = Honest::new();
        move || records.clone()
    }));
}

mod in_a_file {
    use super::*;

    milepost_conformance::laws!(
        Subject::in_directory(
            || tempfile::tempdir().expect("there is room for a directory"),
            Filed::open,
        )
        .exclusive()
    );
}

#[test]
fn all_laws_at_once() {
    milepost_conformance::check(&Subject::new(Honest::new));
}
