//! Free ports on loopback that stay ours.
//!
//! A port that is merely free now may be taken before the child binds it. Three things prevent
//! that: the ports lie below the range from which the kernel gives ports to outgoing connections; a
//! listener holds each one until its child starts; and a locked file per port keeps other
//! devnets away, also while a child is down for a restart. The locks die with this process.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::config::Ports;
use crate::exit::Exit;
use crate::failure::Failure;

/// Ports are taken from here…
const FIRST: u16 = 20_000;

/// …to here, below the ephemeral range of Linux (from 32768).
const LAST: u16 = 31_999;

/// The ports of one node, held.
#[derive(Debug)]
pub struct Reserved {
    /// Their numbers.
    pub ports: Ports,
    listeners: Vec<TcpListener>,
    _locks: Vec<File>,
}

impl Reserved {
    /// Frees the ports for the child that is about to bind them; the locks stay.
    pub fn release(&mut self) {
        self.listeners.clear();
    }
}

/// Hands out ports.
#[derive(Debug)]
pub struct Reservations {
    folder: PathBuf,
    next: u16,
}

impl Reservations {
    /// Starts looking at a place that `start` decides: two devnets that start at once should look
    /// at different places.
    pub fn new(start: u64) -> Result<Self, Failure> {
        let folder = lock_folder().map_err(|error| {
            Failure::file(
                Exit::Resources,
                "keep port locks in",
                &std::env::temp_dir(),
                &error,
            )
        })?;
        let span = u64::from(LAST - FIRST) + 1;
        let offset = u16::try_from(start % span).unwrap_or(0);
        Ok(Self {
            folder,
            next: FIRST + offset,
        })
    }

    /// The ports of one node.
    pub fn reserve(&mut self) -> Result<Reserved, Failure> {
        let (mut numbers, mut listeners, mut locks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in FIRST..=LAST {
            let port = self.next;
            self.next = if port == LAST { FIRST } else { port + 1 };
            let Some(lock) = try_lock(&self.folder, port) else {
                continue;
            };
            let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            numbers.push(port);
            listeners.push(listener);
            locks.push(lock);
            if let [whisper, mix, api, rpc_http, rpc_ws] = numbers[..] {
                let ports = Ports {
                    whisper,
                    mix,
                    api,
                    rpc_http,
                    rpc_ws,
                };
                return Ok(Reserved {
                    ports,
                    listeners,
                    _locks: locks,
                });
            }
        }
        Err(Failure::new(
            Exit::Resources,
            "no ports are left for the devnet",
            format!("none of {FIRST} to {LAST} can be bound on 127.0.0.1"),
            "stop other devnets",
        ))
    }
}

/// A folder of our own user for the locks, shared by all its devnets.
fn lock_folder() -> io::Result<PathBuf> {
    let user = fs::metadata("/proc/self")?.uid();
    let folder = std::env::temp_dir().join(format!("ferry-ports-{user}"));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if fs::metadata(&folder)?.uid() != user {
        return Err(io::Error::other(
            "the folder for port locks belongs to another user",
        ));
    }
    Ok(folder)
}

/// The lock of a port, if nobody has it.
fn try_lock(folder: &Path, port: u16) -> Option<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(port.to_string()))
        .ok()?;
    file.try_lock().ok().map(|()| file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_even_by_two_devnets() {
        let mut first = Reservations::new(7).unwrap();
        let mut second = Reservations::new(7).unwrap();
        let held: Vec<Reserved> = (0..8)
            .map(|n| {
                if n % 2 == 0 {
                    first.reserve()
                } else {
                    second.reserve()
                }
                .unwrap()
            })
            .collect();
        let numbers: BTreeSet<u16> = held
            .iter()
            .flat_map(|r| {
                let ports = r.ports;
                [
                    ports.whisper,
                    ports.mix,
                    ports.api,
                    ports.rpc_http,
                    ports.rpc_ws,
                ]
            })
            .collect();
        assert_eq!(numbers.len(), 40);
        assert!(numbers.iter().all(|port| (FIRST..=LAST).contains(port)));
    }

    #[test]
    fn a_released_port_can_be_bound_but_is_not_given_again() {
        let mut reservations = Reservations::new(5000).unwrap();
        let mut reserved = reservations.reserve().unwrap();
        let port = reserved.ports.api;
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err());
        reserved.release();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        reservations.next = port;
        assert_ne!(reservations.reserve().unwrap().ports.whisper, port);
    }
}
