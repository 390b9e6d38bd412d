//! The thread that works on the mailserver's archive.
//!
//! ```text
//! owner ── (ticket, job) ──▶ thread ── (ticket, done) ──▶ owner
//! ```
//!
//! The core never has more jobs out than the channel holds, so handing one over does not wait. When the owner lets go of its end,
//! what is left is done, everything is flushed, and the thread ends.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::mailserver::Archive;
use crate::mailserver::archive::{Done, Job, run};
use crate::mailserver::server::Ticket;

/// The owner's end.
pub(super) struct Clerk {
    jobs: SyncSender<(Ticket, Job)>,
    ended: oneshot::Receiver<()>,
}

impl Clerk {
    /// Starts the thread. What came of each job is handed to `answers`, made into what its owner wants to hear.
    pub(super) fn start<T: Send + 'static>(
        archive: Box<dyn Archive>,
        answers: mpsc::Sender<T>,
        answer: impl Fn(Ticket, Done) -> T + Send + 'static,
    ) -> io::Result<Clerk> {
        let (jobs, received) = sync_channel(JOBS_MAX);
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || {
                work(archive, &received, |ticket, done| {
                    // The owner may be gone; what is to be stored still is.
                    let _ = answers.blocking_send(answer(ticket, done));
                });
                let _ = end.send(());
            })?;
        Ok(Clerk { jobs, ended })
    }

    /// Hands a job over. Gives the answer at once where the thread cannot take it, which is when it has died.
    pub(super) fn give(&self, ticket: Ticket, job: Job) -> Option<Done> {
        let refused = self.jobs.try_send((ticket, job)).is_err();
        refused.then(|| {
            let error = "its thread has ended".to_owned();
            Done::Failed(crate::mailserver::ArchiveError::Io(error))
        })
    }

    /// Waits until everything is done and on the disk.
    pub(super) async fn stop(self) {
        drop(self.jobs);
        // Where the thread has died there is nothing to wait for.
        let _ = self.ended.await;
    }
}

fn work(
    mut archive: Box<dyn Archive>,
    jobs: &Receiver<(Ticket, Job)>,
    answer: impl Fn(Ticket, Done),
) {
    for (ticket, job) in jobs {
        answer(ticket, run(archive.as_mut(), &job));
    }
    if let Err(error) = archive.flush() {
        warn!(%error, "the archive of the mailserver was not flushed; its log is complete");
    }
}

/// Jobs that wait: the reads that the core has out at a time, a write and a removal, twice.
const JOBS_MAX: usize = 2 * (crate::mailserver::limits::READS_MAX + 2);
