use proptest::prelude::*;

use super::*;
use crate::shh::{Bloom, Draft};

fn envelope(sent: u32, topic: [u8; 4], data: &[u8]) -> Envelope {
    Draft::new(sent + 10, 10, Topic::new(topic), data).finish(0)
}

fn query(lower: u32, upper: u32) -> Query {
    Query {
        lower,
        upper,
        after: None,
        wanted: Wanted::ALL,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

#[test]
fn both_ends_of_a_time_belong_to_it() {
    let mut archive = MemoryArchive::new();
    let rows: Vec<Row> = (1..=5)
        .map(|sent| Row::of(&envelope(sent, [1; 4], b"x")))
        .collect();
    assert_eq!(archive.store(&rows), Ok(5));
    assert_eq!(archive.store(&rows), Ok(0), "what is there stays");
    let page = archive.read(&query(2, 4)).unwrap();
    assert_eq!((page.rows, page.reached), (rows[1..4].to_vec(), None));
    assert_eq!(archive.newest(), Ok(Some(5)));
}

#[test]
fn rows_without_a_topic_in_their_key_are_read_and_not_stored_twice() {
    let mut archive = MemoryArchive::new();
    let envelope = envelope(7, [1, 2, 3, 4], b"old");
    let whole = Row::of(&envelope);
    let old = Row {
        key: Key::at(whole.key.cursor()),
        envelope: whole.envelope.clone(),
    };
    assert_eq!(archive.store(std::slice::from_ref(&old)), Ok(1));
    assert_eq!(archive.store(&[whole]), Ok(0));
    let mut wanted = query(0, 10);
    wanted.wanted.bloom = Bloom::of_topics([envelope.topic()]);
    assert_eq!(archive.read(&wanted).unwrap().rows, [old]);
    wanted.wanted.bloom = Bloom::of_topics([Topic::new([9; 4])]);
    assert_eq!(archive.read(&wanted).unwrap().rows, []);
    // What is in such a row must be looked into, so it can be found to be broken.
    let broken = Row {
        key: Key::at(Cursor::new(8, EnvelopeHash::new([1; 32]))),
        envelope: Arc::from([0xc0].as_slice()),
    };
    archive.store(&[broken]).unwrap();
    assert!(matches!(
        archive.read(&wanted),
        Err(ArchiveError::Corrupt(_))
    ));
}

#[test]
fn a_filter_that_matches_nothing_does_not_hold_the_archive() {
    let mut archive = MemoryArchive::new();
    let rows: Vec<Row> = (0..limits::SCAN_ROWS_MAX as u32 + 10)
        .map(|number| Row::of(&envelope(1, [1; 4], &number.to_be_bytes())))
        .collect();
    archive.store(&rows).unwrap();
    let mut nothing = query(0, 10);
    nothing.wanted.bloom = Bloom::EMPTY;
    let page = archive.read(&nothing).unwrap();
    assert_eq!((page.rows.len(), page.scanned), (0, limits::SCAN_ROWS_MAX));
    nothing.after = page.reached;
    let page = archive.read(&nothing).unwrap();
    assert_eq!((page.scanned, page.reached), (10, None));
}

#[test]
fn what_no_receiver_takes_is_passed_over() {
    let mut archive = MemoryArchive::new();
    let large = envelope(1, [1; 4], &vec![0; limits::PACKET_LEN_MAX]);
    let small = Row::of(&envelope(2, [1; 4], b"x"));
    archive.store(&[Row::of(&large), small.clone()]).unwrap();
    assert_eq!(archive.read(&query(0, 10)).unwrap().rows, [small]);
}

#[test]
fn the_oldest_go_first() {
    let mut archive = MemoryArchive::new();
    let rows: Vec<Row> = (1..=9)
        .map(|sent| Row::of(&envelope(sent, [1; 4], b"x")))
        .collect();
    archive.store(&rows).unwrap();
    let mut prune = Prune {
        before: 4,
        bytes_max: u64::MAX,
        rows_max: 2,
    };
    assert_eq!(archive.prune(&prune), Ok(2), "not more than asked for");
    assert_eq!(archive.prune(&prune), Ok(1));
    prune.before = 0;
    prune.bytes_max = 2 * rows[0].bytes();
    prune.rows_max = 100;
    assert_eq!(archive.prune(&prune), Ok(4));
    let left = archive.read(&query(0, 10)).unwrap().rows;
    assert_eq!(left, rows[7..]);
    let bytes = 2 * rows[0].bytes();
    assert_eq!(archive.totals(), Totals { rows: 2, bytes });
}

proptest! {
    #[test]
    fn pages_lose_nothing_and_repeat_nothing(
        sent in prop::collection::vec((0..20u32, 0..4u8, 0..300usize), 0..60),
        lower in 0..20u32, span in 0..20u32, rows_max in 1..9usize, bytes_max in 1..900usize, topics in 0..3usize,
    ) {
        let mut archive = MemoryArchive::new();
        let envelopes: Vec<Envelope> = sent
            .iter()
            .enumerate()
            .map(|(number, (sent, topic, len))| {
                let mut data = vec![0; *len];
                data.extend(number.to_be_bytes());
                envelope(*sent, [*topic; 4], &data)
            })
            .collect();
        let rows: Vec<Row> = envelopes.iter().map(Row::of).collect();
        archive.store(&rows).unwrap();
        let upper = lower + span;
        let topics: Vec<Topic> = (0..topics).map(|topic| Topic::new([topic as u8; 4])).collect();
        let wanted = Wanted { bloom: Bloom::FULL, topics };
        let mut expected: Vec<Row> = rows
            .into_iter()
            .filter(|row| (lower..=upper).contains(&row.key.cursor().sent()))
            .filter(|row| wanted.takes(row.key.topic().unwrap()))
            .collect();
        expected.sort_by_key(|row| row.key);
        let mut query = Query { lower, upper, after: None, wanted, rows_max, bytes_max };
        let mut found = Vec::new();
        loop {
            let page = archive.read(&query).unwrap();
            prop_assert!(page.rows.len() <= rows_max);
            let bytes: usize = page.rows.iter().map(|row| row.envelope.len()).sum();
            prop_assert!(bytes <= bytes_max || page.rows.len() == 1);
            found.extend(page.rows);
            match page.reached {
                Some(reached) => query.after = Some(reached),
                None => break,
            }
        }
        prop_assert_eq!(found, expected);
    }
}
