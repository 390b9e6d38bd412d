//! The file with the nodes of an earlier run.
//!
//! ```text
//! ferry-nodes 1
//! enr:…                                     our own record
//! enode://…@…:30303 1600000000              a node, and when it was last there
//! ```
//!
//! A line that makes no sense is left out: the file is a help and not a need. It is replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::discv4::Seed;
use crate::enr::Record;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Our own record, as it was last.
    pub record: Option<Record>,
    /// Nodes.
    pub seeds: Vec<Seed>,
}

/// What is in the file; nothing if there is none.
pub fn read(path: &Path) -> Stored {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&text),
        Err(_) => Stored::default(),
    }
}

/// Replaces the file.
pub(super) fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text(stored).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn parse(text: &str) -> Stored {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Stored::default();
    }
    let mut stored = Stored::default();
    for line in lines {
        if let Ok(record) = line.parse() {
            stored.record = Some(record);
        } else if let Some((enode, seen)) = line.split_once(' ')
            && let (Ok(enode), Ok(seen_unix_s)) = (enode.parse(), seen.parse())
        {
            stored.seeds.push(Seed { enode, seen_unix_s });
        }
    }
    stored
}

fn text(stored: &Stored) -> String {
    let record = stored.record.iter().map(|record| format!("{record}\n"));
    let seeds = stored
        .seeds
        .iter()
        .map(|seed| format!("{} {}\n", seed.enode, seed.seen_unix_s));
    std::iter::once(format!("{HEAD}\n"))
        .chain(record)
        .chain(seeds)
        .collect()
}

/// The first line.
const HEAD: &str = "ferry-nodes 1";
/// Longer than any that we write: 512 nodes of 230 characters.
const FILE_LEN_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enode::Enode;
    use crate::enr::Place;
    use crate::identity::SecretKey;

    fn stored() -> Stored {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let enode = Enode::new(key.public(), "1.2.3.4:5".parse().unwrap()).with_udp_port(6);
        Stored {
            record: Some(Record::sign(&key, 3, Place::new([1, 2, 3, 4].into(), 6, 5))),
            seeds: vec![Seed {
                enode,
                seen_unix_s: 1_600_000_000,
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(&text(&stored())), stored());
        assert_eq!(parse(&text(&Stored::default())), Stored::default());
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let good = text(&stored());
        assert_eq!(parse(&good.replace("enr:", "enr:x")).record, None);
        assert_eq!(parse(&good.replace(" 1600000000", " soon")).seeds, []);
        assert_eq!(
            parse(&good.replace("ferry-nodes 1", "ferry-nodes 2")),
            Stored::default()
        );
        assert_eq!(parse(&format!("{good}\n\nenode://\n 7\n")), stored());
        assert_eq!(parse(""), Stored::default());
    }
}
