//! mixnet
