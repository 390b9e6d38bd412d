//! What the edge keeps on the disk, as protobuf messages: a later release may add fields, and reads the older ones.

/// A registration, under its id.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RegistrationRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bridge: Vec<u8>,
    /// `bits << 32 | value`.
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) prefixes: Vec<u64>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) group: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) peer_secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) kx_secret: Vec<u8>,
    /// 0 asked for, 1 live, 2 retiring.
    #[prost(uint32, tag = "6")]
    pub(crate) state: u32,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) tag: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) bridge_peer: Vec<u8>,
    #[prost(uint32, tag = "9")]
    pub(crate) lease_until: u32,
    #[prost(uint32, tag = "10")]
    pub(crate) renew_at: u32,
    #[prost(uint32, tag = "11")]
    pub(crate) retired_at: u32,
    #[prost(bool, tag = "12")]
    pub(crate) interactive: bool,
    /// Orders the registrations of one client: the latest is the one that counts.
    #[prost(uint64, tag = "13")]
    pub(crate) serial: u64,
    #[prost(uint32, tag = "14")]
    pub(crate) asked_at: u32,
}

/// A chain of mailbox boxes, under the id of its registration.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChainRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    /// The first box that was not looked into, or in which nothing was found.
    #[prost(uint64, tag = "2")]
    pub(crate) next: u64,
    /// When it is given up, Unix seconds.
    #[prost(uint32, tag = "3")]
    pub(crate) until: u32,
}

/// An envelope of the local client on its way, under its post id.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OutboxRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) rlp: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) hash: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(crate) retry_until: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) accepted_unix_ms: u64,
}
