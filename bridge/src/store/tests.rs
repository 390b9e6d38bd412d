//! One list of demands, run on each store.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Batch, Family, MemoryStore, SCHEMA_KEY, Store, StoreError, scan_all};

fn conforms(store: &dyn Store) {
    assert!(store.get(Family::Meta, SCHEMA_KEY).unwrap().is_some());
    assert_eq!(store.get(Family::Seen, b"a").unwrap(), None);

    let mut batch = Batch::default();
    batch.put(Family::Seen, *b"a1", *b"one");
    batch.put(Family::Seen, *b"a2", *b"two");
    batch.put(Family::Seen, *b"b1", *b"three");
    batch.put(Family::Posts, *b"a1", *b"other family");
    batch.put(Family::Seen, *b"", *b"empty key");
    store.write(&batch, true).unwrap();
    assert_eq!(store.get(Family::Seen, b"a1").unwrap().unwrap(), b"one");
    assert_eq!(
        store.get(Family::Posts, b"a1").unwrap().unwrap(),
        b"other family"
    );
    assert_eq!(store.get(Family::Posts, b"a2").unwrap(), None);

    let all = |prefix: &[u8], from: &[u8], limit| {
        let entries = store.scan(Family::Seen, prefix, from, limit).unwrap();
        entries
            .into_iter()
            .map(|(key, _)| String::from_utf8(key).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all(b"", b"", 10), ["", "a1", "a2", "b1"]);
    assert_eq!(all(b"a", b"", 10), ["a1", "a2"]);
    assert_eq!(all(b"a", b"a2", 10), ["a2"]);
    assert_eq!(all(b"a", b"a2\0", 10), [""; 0]);
    assert_eq!(all(b"", b"a2", 1), ["a2"]);
    assert_eq!(all(b"a", b"0", 10), ["a1", "a2"]);
    assert_eq!(all(b"c", b"", 10), [""; 0]);

    let mut batch = Batch::default();
    batch.put(Family::Seen, *b"a1", *b"first");
    batch.delete(Family::Seen, *b"a2");
    batch.put(Family::Seen, *b"a1", *b"last");
    batch.delete(Family::Seen, *b"never there");
    store.write(&batch, false).unwrap();
    assert_eq!(store.get(Family::Seen, b"a1").unwrap().unwrap(), b"last");
    assert_eq!(store.get(Family::Seen, b"a2").unwrap(), None);

    let mut batch = Batch::default();
    for n in 0..600u32 {
        batch.put(Family::Outbox, n.to_be_bytes(), n.to_le_bytes());
    }
    store.write(&batch, false).unwrap();
    let mut seen = 0u32;
    scan_all(store, Family::Outbox, b"", |key, value| {
        assert_eq!(key, seen.to_be_bytes());
        assert_eq!(value, seen.to_le_bytes());
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 600);
    let stopped = scan_all(store, Family::Outbox, b"", |_, _| {
        Err(StoreError::corrupt(Family::Outbox))
    });
    assert!(matches!(
        stopped,
        Err(StoreError::Corrupt { family: "outbox" })
    ));
}

#[test]
fn memory_conforms() {
    conforms(&MemoryStore::new());
}

#[cfg(feature = "shell")]
mod rocks {
    use super::super::{RocksStore, SCHEMA_VERSION};
    use super::*;

    #[test]
    fn conforms() {
        let dir = tempfile::tempdir().unwrap();
        super::conforms(&RocksStore::open(dir.path()).unwrap());
    }

    #[test]
    fn what_was_written_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = RocksStore::open(dir.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(Family::Posts, *b"key", *b"value");
        store.write(&batch, true).unwrap();
        drop(store);
        let store = RocksStore::open(dir.path()).unwrap();
        assert_eq!(store.get(Family::Posts, b"key").unwrap().unwrap(), b"value");
    }

    #[test]
    fn a_second_open_names_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _held = RocksStore::open(dir.path()).unwrap();
        let error = RocksStore::open(dir.path()).err().unwrap();
        assert!(matches!(&error, StoreError::Locked { directory } if directory == dir.path()));
        assert!(error.to_string().contains("stop that node"), "{error}");
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = RocksStore::open(dir.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(Family::Meta, SCHEMA_KEY, (SCHEMA_VERSION + 1).to_be_bytes());
        store.write(&batch, true).unwrap();
        drop(store);
        let error = RocksStore::open(dir.path()).err().unwrap();
        assert!(
            matches!(error, StoreError::NewerSchema { found, .. } if found == SCHEMA_VERSION + 1)
        );
    }
}
