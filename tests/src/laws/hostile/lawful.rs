//! What holds of every process, told from its JSON form alone: by other code than the library's own.

use chrono::{DateTime, Datelike as _, Utc};
use serde_json::Value;

use crate::law::{Broken, ensure};

/// Whether this may be a process's JSON form.
pub fn lawful(process: &Value) -> Result<(), Broken> {
    let holds = |law: bool, what: &str| ensure(law, || format!("{what}: {process}"));
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or(0);
    let revision = number(process, "revision");
    holds(
        revision >= 1 && number(process, "run") >= 1,
        "nothing counts from 0",
    )?;
    times(process)?;
    let (created, updated) = (time(&process["created_at"]), time(&process["updated_at"]));
    holds(
        created.is_some() && created <= updated,
        "it changed before it began",
    )?;

    let modules = process["modules"].as_array().map_or(&[][..], Vec::as_slice);
    holds(
        (1..=256).contains(&modules.len()),
        "a chain has 1 to 256 modules",
    )?;
    let states = modules
        .iter()
        .map(|module| kind(&module["state"]))
        .collect::<Vec<_>>();
    holds(
        outcome(kind(&process["outcome"]), &states),
        "the outcome is not what the modules add up to",
    )?;
    if process["parallel"] != true {
        let waiting = states
            .iter()
            .skip_while(|state| matches!(**state, "complete" | "skipped"))
            .skip(1);
        let waits = |state: &&str| matches!(*state, "pending" | "cancelled");
        holds(waiting.copied().all(|state| waits(&state)), "out of order")?;
    }
    for module in modules {
        text(&module["name"], 128, true)?;
        let attempt = number(module, "attempt");
        let attempts = module["attempts"].as_array().map_or(&[][..], Vec::as_slice);
        holds(attempts.len() <= 16, "more attempts than are kept")?;
        let before = attempts
            .iter()
            .all(|past| number(past, "number") < attempt && number(past, "revision") <= revision);
        holds(attempt >= 1 && before, "attempts count up to this one")?;
        let progress = &module["progress"];
        if let Some(total) = progress["total"].as_u64() {
            holds(number(progress, "done") <= total, "over its total")?;
        }
        holds(
            progress.is_null() || kind(&module["state"]) != "pending",
            "progress of what has not begun",
        )?;
    }
    text(&process["pipeline"], 128, true)?;
    text(&process["file"]["name"], 255, true)?;
    text(&process["file"]["directory"], 1024, true)?;
    let claim = &process["claim"];
    if !claim.is_null() {
        text(&claim["worker"], 128, true)?;
        let token = number(claim, "token");
        holds(
            (2..=revision).contains(&token),
            "a token of no revision of it",
        )?;
    }
    holds(
        process["cancel_request"].is_null() || (!claim.is_null() && claim["end"].is_null()),
        "a wish that nobody can grant",
    )
}

/// `"pending"` or `{"running": ..}`.
fn kind(value: &Value) -> &str {
    let named = |object: &'_ serde_json::Map<String, Value>| object.keys().next().cloned();
    match value {
        Value::String(kind) => kind,
        Value::Object(object) => match named(object).as_deref() {
            Some("running") => "running",
            Some("complete") => "complete",
            Some("failed") => "failed",
            Some("skipped") => "skipped",
            Some("cancelled") => "cancelled",
            _ => "",
        },
        _ => "",
    }
}

fn outcome(outcome: &str, states: &[&str]) -> bool {
    let count = |kind: &str| states.iter().filter(|state| **state == kind).count();
    let done = count("complete") + count("skipped");
    match outcome {
        "ongoing" => count("failed") + count("cancelled") == 0 && done < states.len(),
        "complete" => done == states.len(),
        "failed" => count("failed") > 0 && count("cancelled") == 0,
        "cancelled" => count("cancelled") > 0 && count("cancelled") + done == states.len(),
        _ => false,
    }
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}

/// Every time in it, wherever it stands, lies in the years that are kept.
fn times(value: &Value) -> Result<(), Broken> {
    const NAMES: [&str; 10] = [
        "created_at",
        "updated_at",
        "expires_at",
        "at",
        "since",
        "started",
        "ended",
        "claimed_at",
        "heard_at",
        "until",
    ];
    match value {
        Value::Array(values) => values.iter().try_for_each(times),
        Value::Object(object) => object.iter().try_for_each(|(name, value)| {
            if NAMES.contains(&name.as_str()) && value.is_string() {
                let kept = time(value).is_some_and(|time| (1..=9999).contains(&time.year()));
                return ensure(kept, || format!("{name} is out of range: {value}"));
            }
            times(value)
        }),
        _ => Ok(()),
    }
}

fn text(value: &Value, limit: usize, is_name: bool) -> Result<(), Broken> {
    let fits = value.as_str().is_some_and(|text| {
        text.len() <= limit
            && !text.contains('\0')
            && !(is_name && (text.is_empty() || text.contains(char::is_control)))
    });
    ensure(fits, || {
        format!("a text that is not allowed: {:.200}", value.to_string())
    })
}
