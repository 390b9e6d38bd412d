use legacy::mailserver::archive::MemoryArchive;
use legacy::mailserver::{Cursor, Wanted};
use legacy::shh::{Bloom, Draft, Envelope, Topic};

use super::*;

fn envelope(sent: u32, topic: u8, number: u32) -> Envelope {
    let topic = Topic::new([topic; 4]);
    Draft::new(sent + 10, 10, topic, &number.to_be_bytes()).finish(0)
}

fn rows(count: u32) -> Vec<Row> {
    (0..count)
        .map(|number| Row::of(&envelope(100 + number % 50, (number % 3) as u8, number)))
        .collect()
}

fn query() -> Query {
    Query {
        lower: 0,
        upper: u32::MAX,
        after: None,
        wanted: Wanted::ALL,
        rows_max: 1000,
        bytes_max: 1 << 20,
    }
}

fn all(archive: &mut dyn Archive, mut query: Query) -> Vec<Row> {
    let mut found = Vec::new();
    loop {
        let page = archive.read(&query).unwrap();
        found.extend(page.rows);
        match page.reached {
            Some(reached) => query.after = Some(reached),
            None => return found,
        }
    }
}

#[test]
fn it_does_what_the_one_in_memory_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = RocksArchive::open(folder.path()).unwrap();
    let mut memory = MemoryArchive::new();
    let rows = rows(300);
    for chunk in rows.chunks(70) {
        assert_eq!(disk.store(chunk), memory.store(chunk));
    }
    assert_eq!(disk.store(&rows), Ok(0), "what is there stays");
    assert_eq!(
        disk.store(&[rows[0].clone(), rows[0].clone()]),
        Ok(0),
        "also within a batch"
    );
    let narrow = Wanted {
        bloom: Bloom::of_topics([Topic::new([1; 4])]),
        topics: Vec::new(),
    };
    for (lower, upper) in [(0, u32::MAX), (110, 120), (149, 149), (150, 99999), (7, 8)] {
        for wanted in [&Wanted::ALL, &narrow] {
            for rows_max in [1, 7, 1000] {
                let query = Query {
                    lower,
                    upper,
                    rows_max,
                    wanted: wanted.clone(),
                    ..query()
                };
                assert_eq!(all(&mut disk, query.clone()), all(&mut memory, query));
            }
        }
    }
    for (before, bytes_max, rows_max) in [
        (0, u64::MAX, 10),
        (105, u64::MAX, 10),
        (110, u64::MAX, 1000),
        (0, 5000, 1000),
    ] {
        let prune = Prune {
            before,
            bytes_max,
            rows_max,
        };
        assert_eq!(disk.prune(&prune), memory.prune(&prune));
        assert_eq!(disk.totals(), memory.totals());
    }
    assert_eq!(all(&mut disk, query()), all(&mut memory, query()));
    assert_eq!(disk.newest(), memory.newest());
    // What comes late is before everything that is left, and is removed all the same.
    let late = [Row::of(&envelope(5, 1, 9999))];
    assert_eq!(disk.store(&late), Ok(1));
    let prune = Prune {
        before: 6,
        bytes_max: u64::MAX,
        rows_max: 10,
    };
    assert_eq!(disk.prune(&prune), Ok(1));
}

#[test]
fn it_is_there_again_after_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(40);
    let mut archive = RocksArchive::open(folder.path()).unwrap();
    archive.store(&rows).unwrap();
    let totals = archive.totals();
    // Nobody else may have it meanwhile.
    assert!(matches!(
        RocksArchive::open(folder.path()),
        Err(StartError::DatabaseLocked { .. })
    ));
    drop(archive);
    let mut archive = RocksArchive::open(folder.path()).unwrap();
    assert_eq!(archive.totals(), totals);
    assert_eq!(all(&mut archive, query()).len(), 40);
}

#[test]
fn rows_of_older_archives_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = RocksArchive::open(folder.path()).unwrap();
    let envelope = envelope(7, 1, 1);
    let row = Row::of(&envelope);
    let old = Row {
        key: Key::at(row.key.cursor()),
        envelope: row.envelope.clone(),
    };
    assert_eq!(archive.store(std::slice::from_ref(&old)), Ok(1));
    assert_eq!(archive.store(&[row]), Ok(0));
    assert_eq!(all(&mut archive, query()), [old]);
    let after = Some(Cursor::new(envelope.sent(), envelope.hash()));
    assert_eq!(all(&mut archive, Query { after, ..query() }), []);
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let put = |key: &[u8], value: &[u8]| {
        let archive = RocksArchive::open(folder.path()).unwrap();
        archive.db.put_cf(archive.family(META), key, value).unwrap();
    };
    put(TOTALS_KEY, &[1; 15]);
    assert!(matches!(
        RocksArchive::open(folder.path()),
        Err(StartError::DatabaseCorrupt { .. })
    ));
    let folder = tempfile::tempdir().unwrap();
    let archive = RocksArchive::open(folder.path()).unwrap();
    let newer = (SCHEMA_VERSION + 1).to_be_bytes();
    archive
        .db
        .put_cf(archive.family(META), SCHEMA_KEY, newer)
        .unwrap();
    archive
        .db
        .put_cf(archive.family(ROWS), [1; 5], [1])
        .unwrap();
    drop(archive);
    assert!(matches!(
        RocksArchive::open(folder.path()),
        Err(StartError::DatabaseVersion {
            found: 2,
            known: 1,
            ..
        })
    ));
    // A current file that is no file of a database.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("CURRENT"), "nonsense").unwrap();
    assert!(RocksArchive::open(folder.path()).is_err());
}

#[test]
fn a_row_that_is_none_fails_the_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = RocksArchive::open(folder.path()).unwrap();
    archive
        .db
        .put_cf(archive.family(ROWS), [1; 5], [1])
        .unwrap();
    assert!(matches!(
        archive.read(&query()),
        Err(ArchiveError::Corrupt(_))
    ));
}
