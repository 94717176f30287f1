//! The reference store keeps every law: in memory, and as if it were a file that is opened and closed.

#[path = "stores/honest.rs"]
mod honest;

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

mod one_at_a_time {
    use super::*;

    #[test]
    fn conforms() {
        milepost_conformance::check(
            &Subject::durable(|| {
                let records = Honest::new();
                move || records.clone()
            })
            .exclusive(),
        );
    }
}
