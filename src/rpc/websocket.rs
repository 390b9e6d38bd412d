//! A conversation over a WebSocket: one JSON value per message, text or binary.

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::conversation::{self, Ear, Heard, Mouth};
use super::error::Error;
use super::json::{First, first};
use super::limits::{PING_EVERY, REQUEST_LEN_MAX};
use super::talk::Talk;

/// Talks over a stream that has become a WebSocket.
pub(crate) async fn converse<S>(talk: Talk, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(REQUEST_LEN_MAX))
        .max_frame_size(Some(REQUEST_LEN_MAX));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (sink, stream) = socket.split();
    conversation::converse(talk, Incoming(stream), Outgoing(sink)).await;
}

struct Incoming<S>(SplitStream<WebSocketStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Ear for Incoming<S> {
    async fn hear(&mut self) -> Heard {
        loop {
            // Whoever is there has answered a ping by then.
            let Ok(Some(Ok(message))) = timeout(2 * PING_EVERY, self.0.next()).await else {
                return Heard::End;
            };
            let text = match message {
                Message::Text(text) => text.as_str().to_owned(),
                Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                Message::Close(_) => return Heard::End,
            };
            return match first(&text) {
                First::Value(value) => Heard::Message(value),
                First::Broken(words) => Heard::Refused(Error::parse(words)),
                First::Unfinished => Heard::End,
            };
        }
    }
}

struct Outgoing<S>(SplitSink<WebSocketStream<S>, Message>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mouth for Outgoing<S> {
    async fn say(&mut self, text: String) -> bool {
        self.0.send(Message::text(text)).await.is_ok()
    }

    async fn wave(&mut self) -> bool {
        self.0.send(Message::Ping(Vec::new().into())).await.is_ok()
    }
}
