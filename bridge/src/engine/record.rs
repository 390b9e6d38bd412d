//! What the engine keeps on the disk, as protobuf messages: a later release may add fields, and reads the older ones.

/// A registration, under its tag.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RegistrationRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) group: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) client: Vec<u8>,
    /// `bits << 32 | value`.
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) filters: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) exclude: Vec<u64>,
    #[prost(uint32, tag = "5")]
    pub(crate) lease_until: u32,
    #[prost(bool, tag = "6")]
    pub(crate) interactive: bool,
    #[prost(uint32, tag = "7")]
    pub(crate) pace_ms: u32,
    #[prost(uint32, tag = "8")]
    pub(crate) backlog_max: u32,
    #[prost(uint32, tag = "9")]
    pub(crate) item_bytes_max: u32,
    /// Takes nothing new and only delivers what waits.
    #[prost(bool, tag = "10")]
    pub(crate) retiring: bool,
    /// Grows with each renewal; part of the keys of its reply blocks.
    #[prost(uint32, tag = "11")]
    pub(crate) renewals: u32,
    #[prost(bytes = "vec", tag = "12")]
    pub(crate) blocks_from: Vec<u8>,
    /// The key of its chain of mailbox boxes; empty in a record of before there were any.
    #[prost(bytes = "vec", tag = "13")]
    pub(crate) chain_key: Vec<u8>,
    /// The first box of the chain that is not used.
    #[prost(uint64, tag = "14")]
    pub(crate) chain_next: u64,
}

/// How the responses to a one-shot request are sealed and sent.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReplyPathRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) tag: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) sealer: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) blocks: Vec<Vec<u8>>,
}

/// A post, under its post id.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PostRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) request: Vec<u8>,
    /// The envelope as it is sealed now; empty when the post is over.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) rlp: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) original: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) content: Vec<u8>,
    #[prost(uint32, tag = "5")]
    pub(crate) reseals_left: u32,
    #[prost(uint32, tag = "6")]
    pub(crate) retry_until: u32,
    #[prost(uint32, tag = "7")]
    pub(crate) receipts: u32,
    #[prost(uint32, tag = "8")]
    pub(crate) accepted_at: u32,
    /// 0 publishing, 1 sealing, 2 held, 3 over.
    #[prost(uint32, tag = "9")]
    pub(crate) state: u32,
    #[prost(int32, tag = "10")]
    pub(crate) stage: i32,
    #[prost(int32, tag = "11")]
    pub(crate) reason: i32,
    #[prost(bytes = "vec", tag = "12")]
    pub(crate) hash: Vec<u8>,
    #[prost(uint32, tag = "13")]
    pub(crate) peers: u32,
    #[prost(uint32, tag = "14")]
    pub(crate) time: u32,
    #[prost(message, optional, tag = "15")]
    pub(crate) reply: Option<ReplyPathRecord>,
}
