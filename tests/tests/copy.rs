//! Moving house from a file to a server, and back: what arrives is what was there.

use std::time::Duration;

use milepost::{
    CopyOptions, Failure, NewProcess, Pipeline, PostgresConfig, PostgresStore, Progress, Query,
    SqliteStore, Tracker, copy,
};
use milepost_server::Server;

#[test]
fn from_a_file_to_a_server_and_back_every_record_is_equal() {
    let directory = tempfile::tempdir().expect("there is room");
    let open = |name: &str| {
        let store = SqliteStore::open(directory.path().join(name));
        Tracker::new(store.expect("it opens"))
    };
    let server = Server::shared();
    let config = PostgresConfig {
        schema: server.name(),
        ..PostgresConfig::new(server.url())
    };
    let (file, back) = (open("file.db"), open("back.db"));
    let on_server = Tracker::new(PostgresStore::connect_with(config).expect("it connects"));
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("a pipeline");
    for number in 0..3_000_u64 {
        let new = NewProcess::new(&pipeline)
            .file_name(&format!("invoice \u{1f4c4} '{number}'.pdf"))
            .tag("number", &number.to_string());
        let process = file.begin(new).expect("it begins");
        let module = process.module(1).expect("a module");
        match number % 4 {
            0 => {
                let progress = Progress::of(number, 5_000).message("line\nline\u{2028}\t");
                module.progress(progress).expect("it reports");
                module
                    .retry(Failure::new("Slow", "too long"))
                    .expect("it runs");
            }
            1 => drop(module.complete().expect("it completes")),
            2 => drop(module.fail(Failure::new("Bad", "")).expect("it fails")),
            _ => {
                let claimed = file.claim(process.request_id(), "anna", Duration::from_mins(5));
                claimed.expect("nobody holds it");
            }
        }
    }
    let there = copy(&file, &on_server, CopyOptions::new()).expect("it is copied");
    assert!(there.is_whole() && there.imported.new == 3_000, "{there}");
    let home = copy(&on_server, &back, CopyOptions::new()).expect("it is copied");
    assert!(home.is_whole() && home.imported.new == 3_000, "{home}");
    assert_eq!(home.there, there.here, "another digest of the same");
    // The same lists, place by place.
    let mut query = Query::new().pipeline("invoice-ocr").limit(700);
    loop {
        let pages = [&file, &on_server, &back].map(|tracker| tracker.list(&query).expect("a list"));
        assert_eq!(pages[0].items, pages[1].items);
        assert_eq!(pages[0].items, pages[2].items);
        let Some(next) = pages[0].next else {
            return;
        };
        query = query.after(next);
    }
}
