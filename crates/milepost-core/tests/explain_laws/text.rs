//! The paragraph and the JSON form, against the fields.

use chrono::{DateTime, SecondsFormat, Utc};
use milepost_core::{Explanation, HolderState, ModuleAttempt, NextStep, PastEnd, WaitingFor};
use serde_json::Value;

fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first of a host's own words, as they stand in a paragraph.
fn said(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.filter(|word| !word.is_empty()).collect::<Vec<_>>();
    words.join(" ").chars().take(40).collect()
}

pub(crate) fn is_a_paragraph(explained: &Explanation) {
    let text = explained.to_string();
    assert!(text.len() <= 4 * 1024);
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    assert!(!text.contains(breaks), "{text}");
    assert!(text.ends_with('.') && !text.ends_with(".."), "{text}");

    let mut words = vec![
        explained.status.name().to_owned(),
        moment(explained.at),
        format!("{} of {} module", explained.done, explained.modules),
        format!("It began at {}", moment(explained.created_at)),
        format!("last changed at {}", moment(explained.last_heard)),
        waits_for(explained).to_owned(),
        comes_next(explained.next).to_owned(),
    ];
    if explained.run > 1 {
        words.push(format!("in run {}:", explained.run));
    }
    words.extend(explained.settled_at.map(moment));
    words.extend(explained.expires_at.map(moment));
    words.extend(words_on_modules(explained));
    if let Some(holder) = &explained.held {
        words.push(holder.worker.clone());
        match holder.state {
            HolderState::Released { at } => words.push(moment(at)),
            HolderState::Reaped { at } => {
                words.extend([at, holder.until, holder.heard_at].map(moment));
            }
            _ => words.extend([holder.until, holder.heard_at].map(moment)),
        }
    } else {
        // Nobody who does without leases is told of any, but by what was done to earlier runs.
        let quiet = explained.tried.is_empty() && explained.failed.is_none();
        assert!(!quiet || !text.contains("lease"), "{text}");
    }
    if let Some(wish) = &explained.cancel_requested {
        words.extend([said(&wish.reason), moment(wish.at)]);
    }
    if let Some(fault) = &explained.failed {
        words.extend([said(&fault.message), moment(fault.at)]);
    }
    words.extend(words_on_attempts(explained));
    for word in words {
        assert!(text.contains(&word), "{word:?} is missing in: {text}");
    }
}

fn words_on_modules(explained: &Explanation) -> Vec<String> {
    let of = explained.modules;
    if explained.settled_at.is_some() {
        let runs = explained.running.len();
        return (runs > 0)
            .then(|| format!("{runs} module"))
            .into_iter()
            .collect();
    }
    let mut words = Vec::new();
    for running in explained.running.iter().take(2) {
        let (position, name) = (running.module.position, &running.module.name);
        words.push(format!(
            "Module {position} of {of}, {name}, has been running for "
        ));
        words.extend(
            running
                .progress
                .as_ref()
                .map(|progress| format!("it was at {progress}")),
        );
        let message = running
            .progress
            .as_ref()
            .and_then(|progress| progress.message.as_deref());
        words.extend(message.map(said));
    }
    if let (0, [module]) = (explained.running.len(), explained.ready.as_slice()) {
        words.push(format!(
            "Module {} of {of}, {}, is to start next",
            module.position, module.name
        ));
    }
    words
}

fn words_on_attempts(explained: &Explanation) -> Vec<String> {
    let untold = explained.tried.len().saturating_sub(3);
    let mut words = Vec::new();
    for past in &explained.tried[untold..] {
        let run = if explained.run > 1 {
            format!(" (run {})", past.run)
        } else {
            String::new()
        };
        let ModuleAttempt {
            position,
            name,
            attempt,
            ..
        } = &past.module;
        words.push(format!(
            "Attempt {attempt}{run} of module {position}, {name}, "
        ));
        words.push(moment(past.ended));
        words.push(match &past.end {
            PastEnd::Failed { message, .. } | PastEnd::Retried { message, .. } => said(message),
            PastEnd::Cancelled { reason } => said(reason),
            _ => "interrupted by a rerun".to_owned(),
        });
    }
    let earlier = untold as u64 + explained.no_longer_kept;
    if earlier > 0 {
        words.push(format!("{earlier} earlier attempt"));
    }
    words
}

fn waits_for(explained: &Explanation) -> &'static str {
    match explained.waiting_for {
        WaitingFor::Nothing => "done. It began",
        WaitingFor::Modules => "waits for module",
        WaitingFor::Start => " to start. It began",
        WaitingFor::Cancellation => " to cancel it. It began",
        WaitingFor::Lease => "waits for somebody to take over from ",
        WaitingFor::Claim => "waits for a worker to claim it. It began",
        other => panic!("{other:?} is new"),
    }
}

fn comes_next(next: NextStep) -> &'static str {
    match next {
        NextStep::Nothing => "Next: nothing, for all is done.",
        NextStep::Report => " goes on",
        NextStep::Start => " starts ",
        NextStep::Agree => " cancels it, or ends its work all the same",
        NextStep::Reap => "Next: a reap fails or frees it, or a worker claims it.",
        NextStep::Cancel => "Next: a reap cancels it, or a worker claims it",
        NextStep::Claim => "Next: a worker claims it and ",
        NextStep::Rerun => "Next: nothing by itself; a rerun ",
        NextStep::Purge => "Next: a purge erases it.",
        other => panic!("{other:?} is new"),
    }
}

/// All keys are there, in their order, with the texts whole and the times as they are.
pub(crate) fn is_json(explained: &Explanation) {
    let text = serde_json::to_string(explained).expect("it has a form");
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    let keys = "request_id pipeline status run at created_at settled_at last_heard expires_at modules done \
         waiting_for running ready held cancel_requested failed tried no_longer_kept next";
    let mut after = 0;
    for key in keys.split_whitespace() {
        let key = format!("\"{key}\":");
        after += text[after..]
            .find(&key)
            .unwrap_or_else(|| panic!("{key} in {text}"));
    }
    assert_eq!(
        json.as_object().expect("an object").len(),
        keys.split_whitespace().count()
    );
    let time = |value: &Value| {
        value
            .as_str()
            .map(|text| text.parse::<DateTime<Utc>>().expect("RFC 3339"))
    };
    assert_eq!(time(&json["at"]), Some(explained.at));
    assert_eq!(time(&json["expires_at"]), explained.expires_at);
    assert_eq!(
        time(&json["held"]["until"]),
        explained.held.as_ref().map(|holder| holder.until)
    );
    let message = explained.failed.as_ref().map(|fault| &*fault.message);
    assert_eq!(json["failed"]["message"].as_str(), message);
}
