//! The protobuf messages of MVDS and of the gateway, as prost types.
//!
//! The comments in the `.proto` files are the specification; the code in `src/gen` is made from
//! them and committed, so that a build needs no protobuf compiler. The test `generated` makes it
//! again and compares; after a change of a `.proto` file run it with `FERRY_REGENERATE=1`.
//!
//! | module | file | content |
//! |---|---|---|
//! | [`mvds`] | `mvds.proto` | MVDS payloads, dialect 5000 |
//! | [`mvds::compact`] | `mvds_compact.proto` | the same with the field numbers 1 to 4 |
//! | [`mixbridge::v1`] | `mixbridge.proto` | requests and responses of the gateway |

#![forbid(unsafe_code)]

/// MVDS, dialect 5000.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod mvds {
    include!("gen/mvds.rs");

    /// MVDS, compact dialect.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod compact {
        include!("gen/mvds.compact.rs");
    }
}

/// The gateway protocol.
pub mod mixbridge {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        include!("gen/mixbridge.v1.rs");
    }
}
