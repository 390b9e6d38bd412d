//! Counts what passes a TCP socket, below Noise: what a network bill is made of, headers of TCP and IP apart. And it ends what no
//! longer passes.
//!
//! When a router has forgotten a connection, its socket fills up, and the system tries for a quarter of an hour. Nothing can be closed
//! in that time, for a goodbye would have to be written first; so a write that waits too long is an error.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

// ---- Our constants ----

/// A socket that takes nothing for so long is dead: longer than a ping is waited for, so that a slow line is not.
const STALLED: Duration = Duration::from_secs(15);

/// Bytes that passed the TCP sockets of a node since its start, and connections that did.
#[derive(Debug, Default)]
pub(in crate::shell) struct Wire {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Wire {
    /// Bytes sent and received.
    pub(in crate::shell) fn bytes(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.received.load(Ordering::Relaxed),
        )
    }
}

/// A stream that counts, and fails when it stalls.
pub(super) struct Counted<S> {
    stream: S,
    wire: Arc<Wire>,
    /// How long a write may wait.
    patience: Duration,
    /// When that is over for the one that waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, wire: Arc<Wire>) -> Self {
        Self {
            stream,
            wire,
            patience: STALLED,
            stalled: None,
        }
    }

    /// What came of a write, or that it has waited too long.
    fn patiently<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(bytes)) = read {
            self.wire
                .received
                .fetch_add(bytes as u64, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if let Poll::Ready(Ok(bytes)) = written {
            self.wire.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.patiently(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patiently(context, flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_close(context);
        self.patiently(context, closed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::AsyncWriteExt;

    use super::*;

    /// A stream over such a socket that has little patience.
    fn stream(socket: Full, wire: &Arc<Wire>) -> Counted<Full> {
        let mut stream = Counted::new(socket, wire.clone());
        stream.patience = Duration::from_millis(20);
        stream
    }

    /// A socket whose other end takes so many bytes, and then no more.
    struct Full(usize);

    impl AsyncWrite for Full {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = buffer.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                Poll::Pending
            } else {
                Poll::Ready(Ok(taken))
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_write_into_a_dead_line_ends() {
        let wire = Arc::new(Wire::default());
        let mut stream = stream(Full(10), &wire);
        stream.write_all(&[0; 4]).await.unwrap();
        let error = stream.write_all(&[0; 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(wire.bytes(), (10, 0));
    }

    #[tokio::test]
    async fn a_goodbye_on_a_dead_line_ends() {
        let mut stream = stream(Full(0), &Arc::default());
        let error = stream.close().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
