//! The chains that a thread has read last. Most processes are runs of few pipelines, so what is read shares
//! their names instead of checking and copying them each time.

use std::cell::RefCell;

use crate::laws::Broken;
use crate::pipeline::Pipeline;

/// How many are kept; the one that was not needed for longest goes first.
const KEPT: usize = 8;

thread_local! {
    static LAST: RefCell<Vec<Pipeline>> = const { RefCell::new(Vec::new()) };
}

/// The chain of these names, which stand one after the other in `names`.
pub(crate) fn chain(
    name: &str,
    lengths: &[u8],
    names: &str,
    is_parallel: bool,
) -> Result<Pipeline, Broken> {
    LAST.with_borrow_mut(|last| {
        let is_it = |chain: &Pipeline| chain.is(name, lengths, names, is_parallel);
        if let Some(place) = last.iter().position(is_it) {
            last[..=place].rotate_right(1);
        } else {
            let chain = make(name, lengths, names, is_parallel)?;
            last.truncate(KEPT - 1);
            last.insert(0, chain);
        }
        Ok(last[0].clone())
    })
}

fn make(name: &str, lengths: &[u8], names: &str, is_parallel: bool) -> Result<Pipeline, Broken> {
    let wrong = "the pipeline cannot be built";
    let mut modules = Vec::with_capacity(lengths.len());
    let mut rest = names;
    for length in lengths {
        let (module, behind) = rest.split_at_checked((*length).into()).ok_or(wrong)?;
        modules.push(module);
        rest = behind;
    }
    let chain = Pipeline::new(name, modules).map_err(|_| wrong)?;
    Ok(if is_parallel { chain.parallel() } else { chain })
}
